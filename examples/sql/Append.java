// Appending and reading events in Java over JDBC, after `meowmx setup`:
//
//   java -cp postgresql.jar Append.java jdbc:postgresql://localhost/shop
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Types;
import java.util.UUID;
import org.postgresql.util.PSQLException;

class Append {
	// The version of the last event. expected: a version, -1 for a new order, null for whatever is there; appendId makes
	// the call repeatable, or is null. In a transaction the events commit with whatever else it does.
	static int append(Connection db, UUID order, Integer expected, String events, UUID appendId) throws SQLException {
		try (var call = db.prepareStatement("SELECT max(version) FROM meowmx_append('order', ?, ?, ?::json, ?)")) {
			call.setObject(1, order); // ids of type text: setString
			call.setObject(2, expected, Types.INTEGER);
			call.setString(3, events);
			call.setObject(4, appendId, Types.OTHER);
			try (var rows = call.executeQuery()) {
				rows.next();
				return rows.getInt(1);
			}
		}
	}

	public static void main(String[] arguments) throws SQLException {
		try (var db = DriverManager.getConnection(arguments[0])) {
			var order = UUID.randomUUID();
			var payment = UUID.randomUUID();
			var placed = "[{\"type\": \"OrderPlaced\", \"data\": {\"customer\": \"Mimi\", \"total\": 12.50}}]";
			var paid = "[{\"type\": \"OrderPaid\", \"data\": {\"method\": \"card\"}}]";
			db.setAutoCommit(false);
			System.out.println("appended version " + append(db, order, -1, placed, null));
			db.commit();
			db.setAutoCommit(true);

			try { // a conflict: load again, decide again, append again
				append(db, order, -1, placed, null);
			} catch (PSQLException refused) {
				if (!"MW001".equals(refused.getSQLState()))
					throw refused;
				System.out.println("refused with MW001 - " + refused.getServerErrorMessage().getDetail());
			}
			for (int time = 0; time < 2; time++) // the same append_id: it counts once, and both are told the same
				System.out.println("appended version " + append(db, order, 0, paid, payment));

			try (var load = db.prepareStatement("SELECT version, type, data FROM meowmx_load('order', ?)")) {
				load.setObject(1, order);
				try (var rows = load.executeQuery()) {
					while (rows.next())
						System.out.println(rows.getInt(1) + " " + rows.getString(2) + " " + rows.getString(3));
				}
			}

			// Everything behind a position, in order, settled events alone; a reader keeps the last position it has seen.
			long position = 0;
			int seen = 0;
			try (var read = db.prepareStatement("SELECT position, aggregate_id FROM meowmx_read(?, 1000)")) {
				for (boolean more = true; more;) {
					more = false;
					read.setLong(1, position);
					try (var rows = read.executeQuery()) {
						while (rows.next()) {
							more = true;
							position = rows.getLong(1);
							seen += rows.getString(2).equals(order.toString()) ? 1 : 0;
						}
					}
				}
			}
			System.out.println("read " + seen + " events");
		}
	}
}
