// Appending and reading events in Go with pgx, after `meowmx setup`:
//
//	go run append.go postgresql://localhost/shop
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type event struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// A connection, a pool or a transaction: in a transaction the events commit with whatever else it does.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// appendEvents returns the version of the last event. expected is a version, -1 for a new order, nil for whatever is
// there; appendID is a UUID that makes the call repeatable, or nil.
func appendEvents(ctx context.Context, db queryer, order string, expected *int32, appendID *string, events ...event) (int32, error) {
	list, err := json.Marshal(events)
	if err != nil {
		return 0, err
	}
	var version int32
	err = db.QueryRow(ctx, "SELECT max(version) FROM meowmx_append('order', $1, $2, $3, $4)",
		order, expected, list, appendID).Scan(&version)
	return version, err
}

func at(version int32) *int32 { return &version }

func run(ctx context.Context, url string) error {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	var order, payment string
	if err := db.QueryRow(ctx, "SELECT gen_random_uuid()::text, gen_random_uuid()::text").Scan(&order, &payment); err != nil {
		return err
	}
	placed := event{"OrderPlaced", json.RawMessage(`{"customer":"Mimi","total":12.50}`)}
	paid := event{"OrderPaid", json.RawMessage(`{"method":"card"}`)}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		version, err := appendEvents(ctx, tx, order, at(-1), nil, placed)
		fmt.Println("appended version", version)
		return err
	})
	if err != nil {
		return err
	}

	// A conflict: load again, decide again, append again.
	var refused *pgconn.PgError
	if _, err := appendEvents(ctx, db, order, at(-1), nil, placed); errors.As(err, &refused) && refused.Code == "MW001" {
		fmt.Println("refused with", refused.Code, "-", refused.Detail)
	}
	for range 2 { // the same append_id: it counts once, and both are told the same
		version, err := appendEvents(ctx, db, order, at(0), &payment, paid)
		if err != nil {
			return err
		}
		fmt.Println("appended version", version)
	}

	rows, err := db.Query(ctx, "SELECT version, type, data::text FROM meowmx_load('order', $1)", order)
	if err != nil {
		return err
	}
	var version int32
	var eventType, data string
	_, err = pgx.ForEachRow(rows, []any{&version, &eventType, &data}, func() error {
		fmt.Println(version, eventType, data)
		return nil
	})
	if err != nil {
		return err
	}

	// Everything behind a position, in order, settled events alone; a reader keeps the last position it has seen.
	var position int64
	var id string
	seen := 0
	for more := true; more; {
		rows, err := db.Query(ctx, "SELECT position, aggregate_id FROM meowmx_read($1, 1000)", position)
		if err != nil {
			return err
		}
		more = false
		_, err = pgx.ForEachRow(rows, []any{&position, &id}, func() error {
			more = true
			if id == order {
				seen++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	fmt.Println("read", seen, "events")
	return nil
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
