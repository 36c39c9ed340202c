// Command etcd is the server as its own module publishes it: the upstream main package lives in a
// module that cannot be required beside it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
