#!/usr/bin/env bash
# Compiles kube-apiserver and kubectl for apiserver.test.ts. Usage: build-kubernetes.sh FOLDER
# Needs Go 1.25 or later, and downloads the sources from the Go module proxy. Takes about ten minutes on one core and
# uses 2.5 GB in Go's build cache.
set -euo pipefail
version=1.35.1
folder="$(realpath "$1")"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# Kubernetes requires its own modules at v0.0.0, from the same source tree, but they are published as v0.x.y.
go mod download "k8s.io/kubernetes@v$version"
theirs="$(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v$version.mod"
{
  printf 'module scratch\n\n'
  grep --max-count=1 '^go ' "$theirs"
  printf 'require k8s.io/kubernetes v%s\nreplace (\n' "$version"
  awk -v part="v0.${version#1.}" '$2 == "v0.0.0" { print "\t" $1 " => " $1 " " part }' "$theirs"
  printf ')\n'
} >go.mod

# Stamp the version into the binaries, as in official releases.
stamp=''
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  stamp+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=35"
done
for program in kube-apiserver kubectl; do
  CGO_ENABLED=0 GOFLAGS=-mod=mod go build -p 2 -ldflags="-s -w$stamp" -o "$folder/$program" "k8s.io/kubernetes/cmd/$program"
done
