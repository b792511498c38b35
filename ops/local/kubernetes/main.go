// Renders Helm charts and checks objects of Kubernetes, with Helm's own packages and the published types of the objects.
//
//	kubernetes lint CHART [VALUES…]     checks the chart as `helm lint --strict` does: warnings are faults, too
//	kubernetes template CHART [VALUES…] renders it as `helm template` does, and prints the objects and the notes as JSON
//	kubernetes decode FILE…             prints the objects of files of YAML as JSON
//
// VALUES are files of YAML. Each object is decoded as the API server decodes it strictly: a field or kind that does not exist,
// a field that appears twice and a value of a wrong type are faults. It prints the faults and exits with 1 if there are any.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	kubernetes "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// The release that charts are rendered for.
var release = chartutil.ReleaseOptions{Name: "ringback", Namespace: "webhooks", Revision: 1, IsInstall: true}

// The version of Kubernetes that the types are from. Helm's own default is much older.
var version = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: kubernetes lint|template CHART [VALUES…], or kubernetes decode FILE…")
	}
	switch command, files := arguments[0], arguments[1:]; command {
	case "lint":
		return lintChart(files[0], files[1:])
	case "template":
		return template(files[0], files[1:])
	case "decode":
		return decodeFiles(files)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// values merges files of values. Later files override earlier ones.
func values(files []string) (map[string]any, error) {
	merged := map[string]any{}
	for _, path := range files {
		read, err := chartutil.ReadValuesFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		merged = chartutil.MergeTables(read, merged)
	}
	return merged, nil
}

func lintChart(chart string, files []string) error {
	given, err := values(files)
	if err != nil {
		return err
	}
	linter := lint.AllWithKubeVersion(chart, given, release.Namespace, &version)
	var faults []error
	for _, message := range linter.Messages {
		if message.Severity >= support.WarningSev {
			faults = append(faults, errors.New(message.Error()))
		}
	}
	return errors.Join(faults...)
}

// template prints {"objects": […], "notes": "…"}.
func template(path string, files []string) error {
	given, err := values(files)
	if err != nil {
		return err
	}
	chart, err := loader.Load(path)
	if err != nil {
		return err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = version
	if wanted := chart.Metadata.KubeVersion; !chartutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return fmt.Errorf("the chart needs Kubernetes %s", wanted)
	}
	if err := chartutil.ProcessDependenciesWithMerge(chart, given); err != nil {
		return err
	}
	all, err := chartutil.ToRenderValues(chart, given, release, capabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	sort.Strings(names)
	result := struct {
		Objects []json.RawMessage `json:"objects"`
		Notes   string            `json:"notes"`
	}{}
	for _, name := range names {
		if strings.HasSuffix(name, "NOTES.txt") {
			result.Notes = rendered[name]
			continue
		}
		objects, err := decode(name, []byte(rendered[name]))
		if err != nil {
			return err
		}
		result.Objects = append(result.Objects, objects...)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func decodeFiles(files []string) error {
	all := []json.RawMessage{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects, err := decode(path, text)
		if err != nil {
			return err
		}
		all = append(all, objects...)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// decode returns the objects of a text of YAML as JSON, once each has been decoded into its type.
func decode(name string, text []byte) ([]json.RawMessage, error) {
	var objects []json.RawMessage
	documents := slices.DeleteFunc(bytes.Split(append([]byte("\n"), text...), []byte("\n---")), func(document []byte) bool {
		return isEmpty(document)
	})
	for _, document := range documents {
		if _, _, err := decoder.Decode(document, nil, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// isEmpty returns whether a document has only comments and blanks.
func isEmpty(document []byte) bool {
	var value any
	return yaml.Unmarshal(document, &value) == nil && value == nil
}

var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kubernetes.AddToScheme, monitoring.AddToScheme, keda.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	options := serializer.SerializerOptions{Yaml: true, Strict: true}
	return serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, scheme, scheme, options)
}()
