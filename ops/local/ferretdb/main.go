// Serves MongoDB's protocol for the tests: FerretDB with SQLite behind it.
//
//	ferretdb serve ADDRESS DIRECTORY
//	ferretdb index DIRECTORY
//
// The data is kept in DIRECTORY, so that a restart finds it again. SQLite does not wait for the disk: a killed process
// loses nothing, only a crash of the machine would.
//
// FerretDB 1.24 creates an index of the ids that its own queries do not match, so that each update reads the whole
// collection. The command index adds the one that they match to every collection, also while a server runs.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve":
		err = serve(os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "index":
		err = index(os.Args[2])
	default:
		err = fmt.Errorf("usage: ferretdb serve ADDRESS DIRECTORY | index DIRECTORY")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(address, directory string) error {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: address},
		Handler:   "sqlite",
		SQLiteURL: "file:" + directory + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return server.Run(ctx)
}

func index(directory string) error {
	files, err := filepath.Glob(filepath.Join(directory, "*.sqlite"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := indexFile(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func indexFile(file string) error {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.Query("SELECT table_name FROM _ferretdb_collections")
	if err != nil {
		return err
	}
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, table := range tables {
		create := fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %q (_ferretdb_sjson->'$._id')`, table+"_ids", table)
		if _, err := db.Exec(create); err != nil {
			return err
		}
	}
	return nil
}
