#!/usr/bin/env bash
# Runs the tests that read a clock again and again beside busy loops, and says how often each has failed. A test must not
# depend on the machine's speed. Exit code 1: one has failed, or one of the list below is gone.
# Usage: steady.sh [TIMES] [LOOPS] [TEST...]; by default 20 times, 8 loops, and all tests of the list.
# TEST is `module::name`, or the beginning of it.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-20}
loops=${2:-8}
shift $(($# < 2 ? $# : 2))

# Those that read a clock, wait with a deadline that is part of what they show, or have failed on a slow machine.
tests='
busy::
counters::
one_reply::
client::a_pipeline_is_split_and_its_replies_come_in_order
client::blocking_commands_wait_on_a_connection_of_their_own
client::whoever_unblocks_a_blocking_command_by_hand_ends_it
cli::a_server_that_does_not_answer_costs_the_timeout_and_no_more
faults::a_delay_makes_each_exchange_later_in_both_directions
faults::a_drip_keeps_to_its_rate
faults::a_stall_passes_nothing_and_ends_nothing_until_it_is_over
faults::split_replies_arrive_in_many_reads
faults::ending::after_close_nothing_opens_a_connection
faults::ending::close_answers_what_is_under_way_and_refuses_what_comes_later
faults::ending::close_cuts_off_what_is_not_answered_in_time
faults::ending::when_the_runtime_of_the_connections_is_gone_every_call_ends
faults::greeting::startup_all_needs_every_server_and_lazy_none
faults::leases::a_connection_left_in_a_transaction_or_watching_or_unanswered_is_closed
faults::leases::a_dead_server_refuses_a_dedicated_connection
faults::leases::the_bound_makes_callers_wait_and_then_fail_as_not_sent
faults::load::beyond_the_bound_callers_of_a_stopped_server_fail_as_not_sent_and_all_recovers
faults::load::small_reads_do_not_wait_for_a_large_value_on_the_bulk_lane
faults::outages::a_connection_is_not_opened_by_calls_during_an_outage
faults::outages::a_half_open_connection_is_noticed_while_idle
faults::outages::a_half_open_connection_is_noticed_with_work_outstanding
faults::outages::a_killed_server_fails_only_its_own_keys_at_once_and_recovers_by_itself
faults::outages::a_slow_command_is_no_dead_connection_as_long_as_others_are_answered
faults::outages::a_stopped_server_meets_the_deadline_and_hurts_nobody_else
faults::outages::callers_of_every_connection_of_a_dead_server_hear_it_at_once
faults::outages::in_cache_mode_a_dead_server_is_a_miss_and_what_must_not_be_lost_is_an_error
faults::reload::a_blocking_command_on_a_server_that_is_dropped_goes_on_and_keeps_its_timeout
faults::replies::a_split_mget_over_a_server_that_stays_away_says_which_keys_failed
faults::replies::dropped_futures_and_deadlines_never_shift_replies
faults::replies::the_retry_budget_keeps_an_outage_from_becoming_a_storm
faults::writes::a_write_whose_deadline_passes_half_way_into_the_socket_is_unknown_and_one_behind_it_is_not_sent
gather::a_gathered_answer_is_never_made_from_a_part
observability::spans_and_events_have_stable_names_and_no_data
observability::statistics_are_plain_data_and_count_what_happened
own_connections::wait_on_a_dedicated_connection_has_its_own_timeout
pool::tests::
redis_rs::errors_convert_to_what_redis_rs_users_ask_for
round_robin::a_dead_server_is_passed_over_without_an_error_and_its_turns_are_shared
round_robin::a_server_that_was_never_there_holds_nobody_up
round_robin::who_waits_for_a_dead_server_goes_on_to_the_first_that_comes_back
sets_failures::a_server_that_does_not_answer_ends_every_call_at_its_deadline
survey::a_calibration_reads_what_it_can_and_says_what_it_assumes
survey::a_calibration_that_writes_leaves_nothing_behind
survey::a_calibration_whose_writes_fail_half_way_removes_what_it_wrote
survey::a_server_that_stops_answering_costs_one_deadline
survey::the_whole_of_a_server_has_a_deadline_and_what_was_seen_by_then_is_a_sample
timeline_write::a_delivery_with_one_of_two_servers_gone_ends_in_seconds
waiting::eventually_panics_at_the_deadline
'
[ $# -eq 0 ] || tests=$(printf '%s\n' "$@")
read -r -d '' -a filters <<<"$tests" || true

# Built before the loops run, and copied, so that another build meanwhile does no harm. Of the programs with tests, each
# runs those of the list that it has.
scratch=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
built=$(cargo test --workspace --all-features --lib --tests --no-run 2>&1) || { echo "$built" >&2; exit 1; }
programs=()
while read -r program; do
  programs+=("$scratch/${program##*/}")
  cp "$program" "$scratch"
done < <(sed -nE 's/^ *Executable .* \((.*)\)$/\1/p' <<<"$built")

# As cargo runs them. Of two packages, so that relative paths are right.
export CARGO_MANIFEST_DIR=$PWD
output=$scratch/output
: >"$output"
for _ in $(seq "$loops"); do
  (while :; do :; done) &
  pids+=($!)
done
for round in $(seq "$times"); do
  for program in "${programs[@]}"; do
    # A failure is read from the output.
    "$program" "${filters[@]}" >>"$output" 2>&1 || true
  done
  echo "steady: round $round of $times, $(grep -cE '^test .* FAILED$' "$output" || true) failures so far" >&2
done

failed=0
for filter in "${filters[@]}"; do
  if ! grep -qE "^test $filter.* ok$|^test $filter.* FAILED$" "$output"; then
    echo "steady: there is no test $filter" >&2
    failed=1
  fi
done
perl -ne '
  next unless /^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED)$/;
  $runs{$1}++;
  $failures{$1}++ if $2 eq "FAILED";
  END { printf "%4d of %3d failed: %s\n", $failures{$_} // 0, $runs{$_}, $_ for sort keys %runs }
' "$output"
if grep -qE '^test .* FAILED$' "$output"; then
  sed -n "/^---- .* stdout ----$/,/^stack backtrace:$/p" "$output" >&2
  failed=1
fi
exit "$failed"
