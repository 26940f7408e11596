// Leases over a session: who owns a partition, since when, and for how long.
#include "desk.h"

#include <time.h>
#include <unistd.h>

#define ACQUIRE(desk, lease) ASK_OK(desk, session_lease_acquire((desk)->session, lease, on_lease, desk))
#define RENEW(desk, lease) ASK_OK(desk, session_lease_renew((desk)->session, lease, on_lease, desk))
#define RELEASE(desk, lease) ASK_OK(desk, session_lease_release((desk)->session, lease, on_done, desk))

static void a_lease_has_one_holder_and_a_rising_epoch(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 1, .length_ms = 60000};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	int64_t epoch = desk.lease.epoch;
	// Above all that a row of that name had before it was deleted. time() may be a tick behind the store's clock.
	assert_in_range(time(NULL) + 1 - epoch / 1000, 0, 61);
	ours.epoch = epoch;
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.epoch, epoch);
	assert_null(desk.checkpoint.state); // nobody has run yet
	ACQUIRE(&desk, &theirs);
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.holder, "a");
	assert_int_equal(desk.lease.length_ms, 60000);
	assert_in_range(desk.lease.left_us, 50000000, 60000000);
	int64_t until_us = desk.lease.until_us;
	RENEW(&desk, &ours);
	assert_true(desk.lease.held);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.until_us > until_us); // which is how one who waits sees that it is renewed

	// Taken from one who does not renew it any more: he can neither write nor renew.
	theirs.stale_epoch = epoch;
	theirs.stale_until_us = until_us; // but he has, since
	ACQUIRE(&desk, &theirs);
	assert_false(desk.lease.held);
	theirs.stale_until_us = desk.lease.until_us;
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > epoch);
	struct checkpoint save = {.subscription = "route", .delivered = 1, .position = 1, .epoch = epoch};
	epoch = desk.lease.epoch;
	ASK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	RENEW(&desk, &ours);
	assert_false(desk.lease.held);
	RELEASE(&desk, &ours); // nor give away what is not his
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.holder, "b");

	theirs.epoch = epoch;
	RELEASE(&desk, &theirs);
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > epoch);
	epoch = desk.lease.epoch;
	ACQUIRE(&desk, &ours); // his own he may have again, under a higher epoch
	assert_true(desk.lease.epoch > epoch);
	desk_end(&desk);
}

static void a_lease_runs_out_unless_it_is_renewed(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 1, .length_ms = 300};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	struct checkpoint save = {.subscription = "route", .epoch = desk.lease.epoch, .lease_ms = 60000};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk)); // which renews
	usleep(400000);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held); // it lies further ahead than it is long: the clock was set back
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	usleep(400000);
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > save.epoch + 1);
	desk_end(&desk);
}

static void a_relay_that_publishes_something_else_waits(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	struct session_lease ours = {
		.subscription = "route", .relay = "a", .partitions = 2, .length_ms = 60000, .publishes = "to x"};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	theirs.publishes = "to y";
	theirs.partition = 1;
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	ours.epoch = desk.lease.epoch;
	ACQUIRE(&desk, &theirs); // although it is free
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.rival, "a");
	assert_string_equal(desk.lease.rival_publishes, "to x");
	struct session_lease other = ours;
	other.partition = 1;
	other.relay = "c";
	ACQUIRE(&desk, &other); // one that waits keeps nobody from anything
	assert_true(desk.lease.held);
	other.epoch = desk.lease.epoch;
	RELEASE(&desk, &other);
	RELEASE(&desk, &ours);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	assert_null(desk.lease.rival);
	desk_end(&desk);
}

static void partitions_are_shared(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 3, .length_ms = 60000};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	assert_int_equal(desk.lease.partitions, 3);
	assert_int_equal(desk.lease.least, INT32_MAX); // alone
	int64_t first = desk.lease.epoch;
	theirs.partition = 1;
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	theirs.epoch = desk.lease.epoch;
	ours.partition = 2;
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_int_equal(desk.lease.least, 1);
	ours.partition = 0;
	ours.epoch = first;
	RENEW(&desk, &ours);
	assert_int_equal(desk.lease.mine, 2);
	assert_int_equal(desk.lease.least, 1);
	assert_int_equal(desk.lease.above, 1);
	RELEASE(&desk, &theirs);
	ours.partition = 1;
	ACQUIRE(&desk, &ours); // the other one has fewer
	assert_false(desk.lease.held);
	assert_null(desk.lease.holder);
	theirs.leaving = true;
	RELEASE(&desk, &theirs);
	ACQUIRE(&desk, &ours); // and now counts no more
	assert_true(desk.lease.held);
	ours.partitions = 4;
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	assert_int_equal(desk.lease.partitions, 3);
	desk_end(&desk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_lease_has_one_holder_and_a_rising_epoch),
	cmocka_unit_test(a_lease_runs_out_unless_it_is_renewed),
	cmocka_unit_test(partitions_are_shared),
	cmocka_unit_test(a_relay_that_publishes_something_else_waits),
};
SUITE(suite_leases, tests);
