// subscription.h: how a subscription is shown, to machines and to people, by `status` and `subscription`.
#ifndef CLI_SUBSCRIPTION_H
#define CLI_SUBSCRIPTION_H

#include "cli/command.h"
#include "store/store.h"

const char *subscription_state(const struct store_subscription *subscription); // "RUNNING"

// Finds the subscriptions (name NULL: all). Says what is wrong; then *ret_status is the exit status.
MEOW_MUST_USE bool subscription_find(const struct invocation *invocation, struct meow_store *store, const char *name,
	struct store_subscriptions *list, int *ret_status);

void subscription_json(struct buffer *out, const struct store_subscription *subscription);
void subscription_table(
	struct buffer *out, const struct store_subscriptions *list); // one line each, and why it stopped

#endif
