// Partitions and leases: the arithmetic alone.
#include "unit.h"

#include "base/text.h"
#include "relay/lease.h"
#include "relay/partition.h"

#include <stdio.h>
#include <string.h>

static void an_aggregate_stays_in_its_partition_for_good(void **state)
{
	// Computed apart from this code. They never change: an aggregate that moved would be published out of order.
	static const struct {
		const char *id;
		int of[5]; // among 2, 3, 4, 16 and 1000 partitions
	} known[] = {
		{"", {0, 2, 2, 6, 342}},
		{"1", {0, 1, 2, 6, 782}},
		{"42", {0, 0, 0, 12, 476}},
		{"a", {1, 2, 3, 11, 315}},
		{"order-1", {1, 1, 1, 5, 757}},
		{"7f6c1f0e-3f5b-4d7b-9a51-2b8d6f1c0e11", {0, 2, 2, 2, 10}},
		{"注文", {0, 0, 2, 14, 286}},
	};
	static const int partitions[] = {2, 3, 4, 16, 1000};
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		assert_int_equal(partition_of(bytes_of(known[i].id), 1), 0);
		for (size_t j = 0; j < 5; j++)
			assert_int_equal(partition_of(bytes_of(known[i].id), partitions[j]), known[i].of[j]);
	}
}

static void ids_spread_over_the_partitions(void **state)
{
	static const char *const forms[] = {"", "order-", "0b8a1d1e-57a4-4a3f-9f5a-0000"};
	(void)state;
	for (size_t form = 0; form < 3; form++)
		for (int step = 1; step <= 16; step *= 2) { // ids that all are multiples of something, too
			int counts[4] = {0};
			for (int i = 0; i < 4000; i++) {
				char id[64];
				snprintf(id, sizeof(id), "%s%0*d", forms[form], form == 0 ? 1 : 8, i * step);
				counts[partition_of(bytes_of(id), 4)]++;
			}
			for (int i = 0; i < 4; i++)
				assert_in_range(counts[i], 850, 1150);
		}
}

static void a_batch_keeps_the_partitions_own_events(void **state)
{
	(void)state;
	size_t total = 0;
	for (int partition = 0; partition < 3; partition++) {
		struct batch *batch = batch_create();
		for (int i = 1; i <= 100; i++) {
			char id[16];
			snprintf(id, sizeof(id), "a%d", i % 10);
			struct meow_event event = {.position = i, .aggregate_id = bytes_of(id), .data = MEOW_BYTES("{}")};
			assert_true(batch_add(batch, &event));
		}
		batch->position = 100;
		size_t dropped = partition_keep(batch, partition, 3);
		assert_int_equal(batch->count + dropped, 100);
		assert_int_equal(batch->position, 100);
		for (size_t i = 0; i < batch->count; i++) {
			assert_int_equal(partition_of(batch->events[i].aggregate_id, 3), partition);
			assert_true(i == 0 || batch->events[i].position > batch->events[i - 1].position);
		}
		total += batch->count;
		batch_destroy(batch);
	}
	assert_int_equal(total, 100);
}

static void an_owner_stops_before_its_lease_runs_out(void **state)
{
	struct lease lease = {.length_us = 10000000};
	(void)state;
	assert_false(lease_is_held(&lease, 0));
	lease_take(&lease, 3, 1000000);
	assert_true(lease_is_held(&lease, 1000000));
	assert_true(lease_is_held(&lease, 9999999));
	assert_false(lease_is_held(&lease, 10000000)); // the store's runs out at 11000000 at the earliest
	assert_int_equal(lease_pause_us(&lease), 3333333);
	lease_renew(&lease, 4000000);
	lease_renew(&lease, 2000000); // answers of saves and renewals may cross
	assert_int_equal(lease_end_us(&lease), 13000000);
	lease_drop(&lease);
	assert_false(lease_is_held(&lease, 4000000));
}

static void a_lease_that_nobody_renews_is_stale_whatever_the_stores_clock_says(void **state)
{
	struct lease_view view = {0};
	(void)state;
	assert_false(lease_is_stale(&view, 10, 1000));
	lease_see(&view, 7, 500, 1000);
	assert_false(lease_is_stale(&view, 10, 1009));
	lease_see(&view, 7, 510, 1009); // renewed
	assert_false(lease_is_stale(&view, 10, 1018));
	lease_see(&view, 7, 510, 1018);
	assert_true(lease_is_stale(&view, 10, 1019));
	lease_see(&view, 8, 510, 1019); // somebody else's
	assert_false(lease_is_stale(&view, 10, 1020));
}

// Relays that give up and take as they should, one after the other, until nothing moves.
static void settle(int *owned, int relays, int *ret_free)
{
	for (bool moved = true; moved;) {
		moved = false;
		for (int i = 0; i < relays; i++) {
			int least = 1000;
			for (int j = 0; j < relays; j++)
				least = j != i && owned[j] < least ? owned[j] : least;
			if (*ret_free > 0 && lease_may_take(owned[i], least)) {
				owned[i]++;
				--*ret_free;
				moved = true;
			} else {
				int gives = 0;
				for (int above = 0; above < owned[i]; above++)
					gives += lease_gives_up(owned[i], least, above);
				owned[i] -= gives;
				*ret_free += gives;
				moved |= gives > 0;
			}
		}
	}
}

static void shares_differ_by_one_at_most(void **state)
{
	(void)state;
	for (int partitions = 1; partitions <= 20; partitions++)
		for (int relays = 2; relays <= 6; relays++) {
			int owned[6] = {partitions}, free_ones = 0, least = 1000, most = 0; // the others join
			settle(owned, relays, &free_ones);
			for (int i = 0; i < relays; i++) {
				least = owned[i] < least ? owned[i] : least;
				most = owned[i] > most ? owned[i] : most;
			}
			assert_int_equal(free_ones, 0);
			assert_true(most - least <= 1);
		}
	assert_false(lease_gives_up(1, 0, 0)); // one partition stays where it is
	assert_false(lease_may_take(2, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_aggregate_stays_in_its_partition_for_good),
		cmocka_unit_test(ids_spread_over_the_partitions),
		cmocka_unit_test(a_batch_keeps_the_partitions_own_events),
		cmocka_unit_test(an_owner_stops_before_its_lease_runs_out),
		cmocka_unit_test(a_lease_that_nobody_renews_is_stale_whatever_the_stores_clock_says),
		cmocka_unit_test(shares_differ_by_one_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
