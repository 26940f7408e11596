// Appending and reading events in Node with pg, after `meowmx setup`:
//
//   node append.mjs postgresql://localhost/shop
import { randomUUID } from "node:crypto";
import pg from "pg";

// The version of the last event. expected: a version, -1 for a new order, null for whatever is there; appendId makes the
// call repeatable. Over a client with a transaction open the events commit with whatever else it does.
async function append(client, order, expected, events, appendId = null) {
	const { rows } = await client.query("SELECT max(version) AS version FROM meowmx_append('order', $1, $2, $3, $4)",
		[order, expected, JSON.stringify(events), appendId]);
	return rows[0].version;
}

const client = new pg.Client(process.argv[2]);
await client.connect();
try {
	const order = randomUUID(), payment = randomUUID();
	const placed = { type: "OrderPlaced", data: { customer: "Mimi", total: 12.5 } };
	const paid = { type: "OrderPaid", data: { method: "card" } };
	await client.query("BEGIN");
	console.log("appended version", await append(client, order, -1, [placed]));
	await client.query("COMMIT");

	try { // a conflict: load again, decide again, append again
		await append(client, order, -1, [placed]);
	} catch (refused) {
		if (refused.code !== "MW001") throw refused;
		console.log("refused with", refused.code, "-", refused.detail);
	}
	for (let time = 0; time < 2; time++) // the same append_id: it counts once, and both are told the same
		console.log("appended version", await append(client, order, 0, [paid], payment));

	// As text: pg would turn json into JavaScript's own values, and numbers like 1.00 or 1e400 into others.
	const loaded = await client.query("SELECT version, type, data::text FROM meowmx_load('order', $1)", [order]);
	for (const { version, type, data } of loaded.rows) console.log(version, type, data);

	// Everything behind a position, in order, settled events alone; a reader keeps the last position it has seen. (A
	// bigint comes as text, which serves as it is.)
	let position = "0", seen = 0;
	for (let rows = null; rows === null || rows.length > 0;) {
		({ rows } = await client.query("SELECT position, aggregate_id FROM meowmx_read($1, 1000)", [position]));
		if (rows.length > 0) position = rows[rows.length - 1].position;
		seen += rows.filter(row => row.aggregate_id === order).length;
	}
	console.log("read", seen, "events");
} finally {
	await client.end();
}
