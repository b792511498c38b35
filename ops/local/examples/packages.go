// Package main imports the libraries of the Go programs in ops/guide, so that `setup.sh` can compile them once.
package main

import (
	_ "github.com/standard-webhooks/standard-webhooks/libraries/go"
	_ "github.com/twmb/franz-go/pkg/kgo"
)

func main() {}
