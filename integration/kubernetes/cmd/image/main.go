// Command image packs a directory into an OCI image of one layer, written as an archive that
// `ctr images import` reads (OCI image layout, image-spec 1.0). The same directory gives the same
// bytes: times, owners and the order of files are fixed.
//
//	image -root DIR -ref registry.k8s.io/pause:3.10.2 -entrypoint /pause -out pause.tar
//
// With several names, separated by commas, the archive gives the same image each of them.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type process struct {
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	Env        []string `json:"Env,omitempty"`
}

func main() {
	root := flag.String("root", "", "directory that becomes the image's file system")
	ref := flag.String("ref", "", "names of the image, with their tags")
	entrypoint := flag.String("entrypoint", "", "program to run")
	cmd := flag.String("cmd", "", "its arguments, separated by spaces")
	out := flag.String("out", "", "archive to write")
	flag.Parse()
	if *root == "" || *ref == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	archive, err := pack(os.DirFS(*root), *root, strings.Split(*ref, ","), process{
		Entrypoint: strings.Fields(*entrypoint),
		Cmd:        strings.Fields(*cmd),
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	})
	if err == nil {
		err = os.WriteFile(*out, archive, 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "image %s: %v\n", *ref, err)
		os.Exit(1)
	}
}

// pack returns the archive of an image whose only layer is the tree under root.
func pack(tree fs.FS, root string, refs []string, run process) ([]byte, error) {
	layer, err := layerOf(tree, root)
	if err != nil {
		return nil, err
	}
	blobs := map[string][]byte{}
	put := func(kind string, blob []byte) descriptor {
		sum := fmt.Sprintf("%x", sha256.Sum256(blob))
		blobs["blobs/sha256/"+sum] = blob
		return descriptor{MediaType: kind, Digest: "sha256:" + sum, Size: len(blob)}
	}
	packed := put(layerType, layer)
	config := put(configType, encode(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       run,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{packed.Digest}},
	}))
	manifest := put(manifestType, encode(map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        config,
		"layers":        []descriptor{packed},
	}))
	var named []descriptor
	for _, ref := range refs {
		one := manifest
		one.Annotations = map[string]string{"io.containerd.image.name": ref}
		named = append(named, one)
	}

	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	add := func(name string, content []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		_, err := writer.Write(content)
		return err
	}
	index := encode(map[string]any{"schemaVersion": 2, "manifests": named})
	for _, file := range []struct {
		name    string
		content []byte
	}{{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index}} {
		if err := add(file.name, file.content); err != nil {
			return nil, err
		}
	}
	for _, part := range []descriptor{config, manifest, packed} {
		name := "blobs/sha256/" + strings.TrimPrefix(part.Digest, "sha256:")
		if err := add(name, blobs[name]); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

// layerOf returns the tree as a tar archive, everything owned by root. fs.WalkDir goes in lexical order.
func layerOf(tree fs.FS, root string) ([]byte, error) {
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(filepath.Join(root, name)); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		fixed := tar.Header{
			Typeflag: header.Typeflag,
			Name:     name,
			Linkname: target,
			Mode:     header.Mode,
			Size:     header.Size,
			Format:   tar.FormatPAX,
		}
		if err := writer.WriteHeader(&fixed); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

// encode never fails: only maps, slices and strings come here. Map keys come out in order.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
