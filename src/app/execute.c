// Load, decide, append; on a conflict all of it again with a new state, since what was decided may no longer hold. There
// is no pause in between: whoever lost has waited for the winner's commit already, inside the append.
//
// In a transaction of the application's that may be in vain. Where the conflict has aborted it, the next load fails for
// that reason; where its snapshot is older than what the other has committed, the next load shows what the first one
// did. What is told then is the conflict, for which the application must repeat the whole transaction.
#include "app/aggregate.h"

enum attempt { ATTEMPT_DONE, ATTEMPT_ENDED, ATTEMPT_CONFLICT };

struct command {
	struct meow_store *store;
	const struct meow_aggregate_type *type;
	const char *id;
	meow_decide_fn *decide;
	void *arg;
	int64_t version, position; // what was loaded for the last try
	bool conflicted;           // which ended in `conflict`,
	struct meow_error conflict;
	bool refused; // that aborts a transaction that is open
};

// Whether the aggregate is where the try before has conflicted: nothing of the other's can be seen here.
static bool is_in_vain(struct command *command, const struct meow_aggregate *aggregate)
{
	int64_t version = meow_aggregate_version(aggregate), position = aggregate_position(aggregate);
	bool in_vain = command->conflicted && version == command->version && position == command->position;
	command->version = version;
	command->position = position;
	return in_vain;
}

static enum attempt load(struct command *command, struct meow_aggregate **ret_aggregate, struct meow_error *err)
{
	*ret_aggregate = meow_aggregate_load(command->store, command->type, command->id, INT64_MAX, err);
	if (!*ret_aggregate && err->kind == MEOW_CONFLICT)
		return ATTEMPT_CONFLICT; // its history was cut meanwhile
	bool aborted = !*ret_aggregate && command->refused && err->kind == MEOW_INVALID;
	if (*ret_aggregate && !is_in_vain(command, *ret_aggregate))
		return ATTEMPT_DONE;
	if (*ret_aggregate || aborted)
		*err = command->conflict;
	meow_aggregate_destroy(*ret_aggregate);
	return ATTEMPT_ENDED;
}

static enum attempt decide_and_save(
	struct command *command, struct meow_aggregate *aggregate, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_error reason = {.kind = MEOW_INVALID};
	if (!command->decide(command->arg, aggregate, &reason)) {
		error_set_code(err, reason.kind, reason.code, "%s", *reason.text ? reason.text : "it was decided against");
		return ATTEMPT_ENDED;
	}
	if (aggregate_save(aggregate, ret, &command->refused, err))
		return ATTEMPT_DONE;
	return err->kind == MEOW_CONFLICT ? ATTEMPT_CONFLICT : ATTEMPT_ENDED;
}

static enum attempt attempt(struct command *command, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_aggregate *aggregate;
	enum attempt outcome = load(command, &aggregate, err);
	if (outcome != ATTEMPT_DONE)
		return outcome;
	outcome = decide_and_save(command, aggregate, ret, err);
	meow_aggregate_destroy(aggregate);
	command->conflicted = outcome == ATTEMPT_CONFLICT;
	if (command->conflicted)
		command->conflict = *err;
	return outcome;
}

bool meow_execute(struct meow_store *store, const struct meow_aggregate_type *type, const char *id, unsigned tries,
	meow_decide_fn *decide, void *arg, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	struct command command = {.store = store, .type = type, .id = id, .decide = decide, .arg = arg};
	if (tries == 0)
		return error_set(error, MEOW_INVALID, "%s %s: no try was allowed", type->name, id);
	for (unsigned tried = 1;; tried++) {
		enum attempt outcome = attempt(&command, ret, error);
		if (outcome == ATTEMPT_DONE)
			return true;
		if (outcome == ATTEMPT_ENDED || tried == tries)
			return false;
	}
}
