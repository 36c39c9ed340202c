package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "bin"), 0o755),
		os.WriteFile(filepath.Join(root, "bin/tool"), []byte("#!/bin/sh\n"), 0o755),
		os.Symlink("tool", filepath.Join(root, "bin/alias")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func files(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = string(content) + header.Linkname
	}
}

func TestTheSameTreeGivesTheSameBytesWhateverItsTimes(t *testing.T) {
	root := tree(t)
	before, err := pack(os.DirFS(root), root, []string{"example/tool:1"}, process{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(root, "bin/tool"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	after, err := pack(os.DirFS(root), root, []string{"example/tool:1"}, process{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the archive depends on when its files were written")
	}
}

func TestEveryDigestIsThatOfItsBlobAndTheLayerHoldsTheTree(t *testing.T) {
	root := tree(t)
	names := []string{"example/tool:1", "example/tool:latest"}
	archive, err := pack(os.DirFS(root), root, names, process{Entrypoint: []string{"/bin/tool"}})
	if err != nil {
		t.Fatal(err)
	}
	found := files(t, archive)
	for name, content := range found {
		if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && sum != fmt.Sprintf("%x", sha256.Sum256([]byte(content))) {
			t.Errorf("%s is not named after its content", name)
		}
	}
	read := func(digest string, into any) {
		t.Helper()
		blob := found["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")]
		if err := json.Unmarshal([]byte(blob), into); err != nil {
			t.Fatalf("%s: %v", digest, err)
		}
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal([]byte(found["index.json"]), &index); err != nil {
		t.Fatal(err)
	}
	var called []string
	for _, one := range index.Manifests {
		called = append(called, one.Annotations["io.containerd.image.name"])
	}
	if !slices.Equal(called, names) {
		t.Errorf("the image is called %q", called)
	}
	var manifest struct{ Layers []descriptor }
	read(index.Manifests[0].Digest, &manifest)
	layer := files(t, []byte(found["blobs/sha256/"+strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:")]))
	if layer["bin/tool"] != "#!/bin/sh\n" || layer["bin/alias"] != "tool" {
		t.Errorf("the layer holds %v", layer)
	}
}
