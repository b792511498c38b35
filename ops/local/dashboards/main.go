// Checks Grafana dashboards by the schema that Grafana publishes as the types of its foundation SDK.
//
//	dashboards FILE…
//
// It decodes each file strictly: unknown members, missing required ones and wrong types are faults, also in queries and in
// the options of panels. It prints the faults and exits with 1 if there are any.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The types of panels whose options the SDK checks, of those that the dashboards use.
var panels = []string{"heatmap", "stat", "table", "timeseries"}

func main() {
	plugins.RegisterDefaultPlugins()
	failed := len(os.Args) == 1
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := faults(new(dashboard.Dashboard).UnmarshalJSONStrict(raw)); err != nil {
		return err
	}
	// The strict decoder drops parts that have no faults, so the rest is checked with another one.
	var decoded dashboard.Dashboard
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return err
	}
	if len(decoded.Panels) == 0 {
		return errors.New("it has no panels")
	}
	// The SDK accepts the options of an unknown type of panel unseen.
	for _, it := range decoded.Panels {
		if it.Panel != nil && !slices.Contains(panels, it.Panel.Type) {
			return fmt.Errorf("panel %d has the unknown type %q", *it.Panel.Id, it.Panel.Type)
		}
	}
	return faults(decoded.Validate())
}

// faults returns nil for an empty list of faults, which the SDK returns as an error.
func faults(err error) error {
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}
