// Package main imports what the Go of ops/guide imports, so that `setup.sh` can compile it once.
package main

import (
	_ "github.com/standard-webhooks/standard-webhooks/libraries/go"
	_ "github.com/twmb/franz-go/pkg/kgo"
)

func main() {}
