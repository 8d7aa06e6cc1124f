"""Takes the rules away that money stands on, one at a time, and sees whether the tests notice.

    make mutants            prints which test noticed what; exit code 1 when something went unnoticed

Each mutant is a change of the source in a copy of the tree. Before that the copy's tests have to pass as it is, so
that nothing counts as noticed that was broken anyway.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 180


@dataclass(frozen=True)
class Mutant:
    """In `file`, `before` (exactly once there) becomes `after`; one of `tests` has to fail."""

    rule: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


VENDORS = "tests/unit/providers/vendors"
MADAPI = "tests/unit/dialects/madapi"
DESCRIBED = "tests/unit/providers/described"
PLACEMENT = "tests/store/test_placement.py"
SALE = "tests/contract/test_sale.py"
STORIES = "tests/scenario/test_money_stories.py"
NIGERIA = "tests/scenario/test_nigerian_stories.py"
USAGE = "tests/store/test_usage.py"
PROVISIONING = "tests/store/test_provisioning.py"
BALANCES = "tests/unit/operator/subscribers/balances/test_account.py"
REFILLS = "tests/store/test_refills.py"
REPORTS = "tests/store/test_reports.py"
APPROVALS = "tests/store/test_approvals.py"
SECOND_PERSON = "tests/scenario/test_second_person_stories.py"
LISTS = "tests/store/test_place_list.py"
BULK = "tests/store/test_bulk_lists.py"
BUYING = "tests/store/test_buying_pages.py"
SOLD = "tests/store/test_sold_pages.py"
PROVISIONAL = "tests/store/test_provisional.py"
LATE_REPORTS = "tests/store/test_late_reports.py"

KINDS = "tests/contract/test_product_kind.py"
PAUSES = "tests/store/test_network_pauses.py"
SHOPS = "tests/simulation/test_shops.py::test_the_same_shops_hold_while_every_rule_is_there"
PAUSE_RULES = "tests/unit/catalog/test_pauses.py"

WEBHOOKS = "tests/store/test_webhooks.py"
WEBHOOK_STORIES = "tests/scenario/test_webhook_stories.py"
WEBHOOK_EVENTS = "tests/store/test_webhook_events.py"
WEBHOOK_SENDING = "tests/store/test_webhook_dispatch.py"

PEOPLE = "tests/store/test_people.py"
CONSOLE = "tests/store/test_console.py"
TOGETHER = "tests/store/test_writing_together.py"
ORDER_SEARCH = "tests/store/test_order_search.py"
EMAILS = "tests/store/test_emails.py"

MUTANTS = (
    Mutant(
        "a hold that is not the price of its order is measured",
        "src/telvend/audit/invariants.py",
        "sum(abs(o.price_minor - coalesce(t.held, 0)))",
        "sum(abs(o.price_minor - coalesce(t.held, o.price_minor)))",
        ("tests/store/test_measurements.py::test_a_hold_unlike_its_order_is_a_difference_until_it_is_put_right",),
    ),
    Mutant(
        "orders that nobody delivers fail the doctor",
        "src/telvend/upkeep/queue.py",
        "ages.get(OrderState.ACCEPTED, 0.0)) > _UNTOUCHED_S",
        "ages.get(OrderState.ACCEPTED, 0.0)) > 1e9",
        ("tests/store/test_cli_doctor.py::test_orders_that_nobody_delivers_are_a_failure",),
    ),
    Mutant(
        "an audit that has found something is remembered as one",
        "src/telvend/audit/service.py",
        "findings=len(report.findings),",
        "findings=0,",
        ("tests/store/test_measurements.py::test_an_audit_is_noted_with_what_it_has_found",),
    ),
    Mutant(
        "a refused purchase for the same number may be taken for another one in a list",
        "src/telvend/fulfilment/store.py",
        "            and rival.state <> 'not_sent'\n",
        "            and rival.state not in ('refused', 'not_sent')\n",
        (
            "tests/store/test_fulfilment_store.py"
            "::test_attempts_for_the_same_recipient_are_counted_until_they_cannot_have_delivered",
        ),
    ),
    Mutant(
        "shops: never heard of it is believed only when nothing can arrive any more",
        "src/telvend/fulfilment/weighing.py",
        "    if report.asked and report.age_s < report.settles_after_s:\n",
        "    if False:\n",
        (f"{SHOPS}[vt-waza-teli]",),
    ),
    Mutant(
        "shops: an open attempt is asked about, and none is made beside it",
        "src/telvend/fulfilment/rules.py",
        "    if open_attempts:\n        return Requery(open_attempts[0])\n",
        "",
        (f"{SHOPS}[vt-teli]",),
    ),
    Mutant(
        "shops: a request without an answer may have arrived",
        "src/telvend/providers/over_http.py",
        'return Unknown(f"no answer: {type(error).__name__}")',
        'return NotSent(f"no answer: {type(error).__name__}")',
        (f"{SHOPS}[waza-teli]",),
    ),
    Mutant(
        "shops: only a reference that is a key is sent again",
        "src/telvend/fulfilment/calls.py",
        "            not _sends_again(provider)\n",
        "            False\n",
        (f"{SHOPS}[waza-vt]",),
    ),
    Mutant(
        "shops: an order is tried elsewhere when our float is empty",
        "src/telvend/providers/contract.py",
        "Reason.DOWN, Reason.NO_FLOAT, Reason.NOT_ALLOWED}",
        "Reason.DOWN, Reason.NOT_ALLOWED}",
        (f"{SHOPS}[vt-teli]",),
    ),
    Mutant(
        "shops: a plain refusal is tried nowhere else",
        "src/telvend/providers/contract.py",
        "Reason.NO_FLOAT, Reason.NOT_ALLOWED}",
        "Reason.NO_FLOAT, Reason.NOT_ALLOWED, Reason.REFUSED}",
        (f"{SHOPS}[vt-teli]",),
    ),
    Mutant(
        "shops: a used request id is no refusal",
        "src/telvend/providers/vtpass/wire.py",
        "    Code.FLOAT_TOO_LOW: Reason.NO_FLOAT,\n",
        "    Code.FLOAT_TOO_LOW: Reason.NO_FLOAT,\n    Code.REQUEST_ID_REUSED: Reason.NOT_SOLD,\n",
        (f"{SHOPS}[vt-teli]",),
    ),
    Mutant(
        "shops: what a number could be mixed up with in a list is counted",
        "src/telvend/providers/networkdatasub/search.py",
        "        if delivery.rivals:\n",
        "        if False:\n",
        (f"{SHOPS}[nds]",),
    ),
    Mutant(
        "an order's end and its event are one transaction",
        "src/telvend/fulfilment/settlement.py",
        "            await events.tell(tx, self._outbox, changed)\n",
        "            pass\n",
        (f"{WEBHOOK_STORIES}::test_a_sale_is_told_when_it_has_its_end_and_once",),
    ),
    Mutant(
        "a refund that was undone is not told",
        "src/telvend/corrections/service.py",
        "                    await self._outbox.write(tx, [told])\n",
        "                    async with self._database.transaction() as other:\n"
        "                        await self._outbox.write(other, [told])\n",
        (f"{WEBHOOK_EVENTS}::test_a_refund_is_told_once_and_in_its_transaction",),
    ),
    Mutant(
        "what is remembered of endpoints is believed for two seconds",
        "src/telvend/webhooks/outbox.py",
        "self._clock.monotonic() - self._looked_at <= TRUST_S",
        "self._clock.monotonic() - self._looked_at <= 1000",
        (f"{WEBHOOKS}::test_what_is_remembered_counts_for_two_seconds_and_then_the_statement_looks",),
    ),
    Mutant(
        "a session of a developer that was killed is written for no more",
        "src/telvend/webhooks/store.py",
        "    join webhook_listener l on l.until > now() and (",
        "    join webhook_listener l on (",
        ("tests/store/test_webhook_listening.py::test_a_session_that_was_killed_is_written_for_no_more_and_removed",),
    ),
    Mutant(
        "a dip is told once",
        "src/telvend/webhooks/store.py",
        "        and (t.told_at is null or t.told_funded_minor < low.funded_minor or t.told_at < now() - interval '1 hour')\n",
        "",
        (f"{WEBHOOK_STORIES}::test_a_wallet_that_runs_low_is_told_of_once_for_each_dip",),
    ),
    Mutant(
        "an attempt that comes too late changes nothing",
        "src/telvend/webhooks/store.py",
        "            state = case when d.state = 'pending' then said.state else d.state end,\n",
        "            state = said.state,\n",
        (f"{WEBHOOKS}::test_an_attempt_that_comes_too_late_is_written_down_and_changes_nothing",),
    ),
    Mutant(
        "what counts is the address that is connected to",
        "src/telvend/webhooks/client.py",
        "        allowed = [address for address, why in zip(addresses, refused, strict=True) if why is None]\n",
        "        allowed = list(addresses)\n",
        (f"{WEBHOOK_SENDING}::test_a_name_that_is_bound_to_a_private_address_later_is_not_connected_to",),
    ),
    Mutant(
        "what a 5xx, a redirect or a conflict says of a described upstream means nothing",
        "src/telvend/providers/described/outcomes.py",
        '    if _says_nothing(reply.http_status):\n        return Unknown(f"no answer that counts',
        '    if False:\n        return Unknown(f"no answer that counts',
        (f"{DESCRIBED}/test_outcomes.py",),
    ),
    Mutant(
        "a described delivery counts only in a 2xx without an error",
        "src/telvend/providers/described/outcomes.py",
        "    if not 200 <= reply.http_status < 300 or error is not None:",
        "    if False:",
        (f"{DESCRIBED}/test_outcomes.py",),
    ),
    Mutant(
        "a described answer about another reference is unknown",
        "src/telvend/providers/described/outcomes.py",
        "if ours is not None and str(ours) != delivery.reference:",
        "if False:",
        (f"{DESCRIBED}/test_outcomes.py",),
    ),
    Mutant(
        "a question that has failed refuses no described purchase",
        "src/telvend/providers/described/outcomes.py",
        "if isinstance(outcome, Refused) and not (",
        "if False and not (",
        (f"{DESCRIBED}/test_outcomes.py",),
    ),
    Mutant(
        "an error beside no status decides nothing in a requery",
        "src/telvend/providers/described/outcomes.py",
        "    if outcome is None:\n        return _unmapped(reply)\n",
        "    if outcome is None:\n        return _by_error(reading, reply, body, _error(reading, body))\n",
        (f"{DESCRIBED}/test_outcomes.py",),
    ),
    Mutant(
        "a description cannot map a 5xx",
        "src/telvend/providers/described/reader.py",
        "    if code >= 500:\n",
        "    if code >= 600:\n",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "a description cannot map a conflict or a time-out",
        "src/telvend/providers/described/reader.py",
        "    if code in MAY_HAVE_DELIVERED:\n",
        "    if False:\n",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "a description has no wildcard",
        "src/telvend/providers/described/reader.py",
        "            if word.strip().casefold() in _WILD_KEYS:\n",
        "            if False:\n",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        '"not found" of a description does not count at once',
        "src/telvend/providers/described/rules.py",
        "elif after < soonest and not self._it.reference.is_key:",
        "elif False:",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "a described requery is not the purchase",
        "src/telvend/providers/described/rules.py",
        "            if _same(requery.request, purchase.request):\n",
        "            if False:\n",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "a described purchase carries our reference",
        "src/telvend/providers/described/rules.py",
        'if self._it.reference.sent and "reference" not in names:',
        "if False:",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "a word for what is under way refuses nothing",
        "src/telvend/providers/described/rules.py",
        "elif verdict.ending in _BACK and _may_be_under_way(word):",
        "elif False:",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "the printed networkdatasub takes no reference for a key",
        "src/telvend/providers/networkdatasub/client.py",
        "if settings.caller_reference and is_at(base_url, BASE_URL):",
        "if False:",
        ("tests/unit/providers/vendors/test_clients.py",),
    ),
    Mutant(
        '"never heard of" is no status of a described requery',
        "src/telvend/providers/described/rules.py",
        "                and _NEVER_HEARD.search(_plain(word))\n",
        "                and False\n",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "described airtime says how much",
        "src/telvend/providers/described/rules.py",
        'if kind == "airtime" and not _told(names, purchase) & {"amount", "size"}:',
        "if False:",
        (f"{DESCRIBED}/test_reader.py",),
    ),
    Mutant(
        "each attempt has its own reference at a described upstream",
        "src/telvend/providers/described/model.py",
        '        plain = f"{order_reference}-{number}"\n',
        '        plain = f"{order_reference}-{number % 2}"\n',
        (f"{DESCRIBED}/test_client.py",),
    ),
    Mutant(
        "a refill and a subscription share the ids that they are known by",
        "src/telvend/dialects/madapi/routes.py",
        "        sells=frozenset({SaleKind.REFILL, SaleKind.ORDER}),\n",
        "        sells=frozenset({SaleKind.REFILL}),\n",
        ("tests/store/test_subscriptions.py",),
    ),
    Mutant(
        "an id is free where neither a refill nor a subscription has it",
        "src/telvend/dialects/madapi/subscriptions.py",
        "    if await _refill_under(call, reference) is not None or await _order_under(call, reference) is not None:\n",
        "    if await _order_under(call, reference) is not None:\n",
        (f"{MADAPI}/test_routes.py::test_only_an_id_under_which_nothing_at_all_was_sold_is_said_to_be_free",),
    ),
    Mutant(
        "only the partner's wallet pays a subscription",
        "src/telvend/dialects/madapi/subscriptions.py",
        '    if form.subscription_payment_source not in ("", PAYMENT_SOURCE):\n',
        "    if False:\n",
        (f"{MADAPI}/test_routes.py::test_what_cannot_be_subscribed_to_is_refused_before_anything_is_asked",),
    ),
    Mutant(
        "what MTN does not find means nothing",
        "src/telvend/providers/madapi/wire.py",
        '        and body.get("transactionIdFree") is True\n        and body.get("transactionReference") == delivery.reference\n',
        "",
        (f"{VENDORS}/test_madapi.py::test_only_a_telvend_is_believed_that_nothing_was_sold",),
    ),
    Mutant(
        "a code of MADAPI counts beside its own status",
        "src/telvend/providers/madapi/wire.py",
        "    reason = REFUSALS.get((status, Code(code)))\n",
        "    reason = {code: reason for (_, code), reason in REFUSALS.items()}.get(Code(code))\n",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "a refill is of the amount that was ordered",
        "src/telvend/providers/madapi/wire.py",
        '    if amount != delivery.face_value or at(body, "data", "currencyCode") != currency.code:\n',
        "    if amount is None:\n",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "airtime of MADAPI is in whole units",
        "src/telvend/providers/madapi/wire.py",
        "    if rest or not 0 < units <= _MOST_UNITS:\n",
        "    if not 0 < units <= _MOST_UNITS:\n",
        (f"{VENDORS}/test_madapi.py::test_what_madapi_cannot_be_asked_for_is_refused_unsent",),
    ),
    Mutant(
        "a purchase is sent again only where its token was refused",
        "src/telvend/providers/oauth.py",
        "            if again or not self._token_ended(reply):\n",
        "            if again or reply.http_status not in (401, 403):\n",
        (f"{VENDORS}/test_world.py::test_a_top_up_is_not_sent_again_after_any_other_refusal",),
    ),
    Mutant(
        "a top-up is ours by our reference",
        "src/telvend/providers/reloadly/wire.py",
        'if body.get("customIdentifier") != delivery.reference or delivery.provider_reference not in ("", theirs):',
        'if delivery.provider_reference not in ("", theirs):',
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "an empty report is of our reference only where it counts nothing",
        "src/telvend/providers/reloadly/wire.py",
        'if not rows and body.get("totalElements", 0) == 0:',
        "if not ours:",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "an amount of airtime is in the currency that was sold",
        "src/telvend/providers/reloadly/wire.py",
        "in_currency = [amounts for amounts in operator.amounts if amounts.currency == currency]",
        "in_currency = list(operator.amounts)",
        (f"{VENDORS}/test_world.py::test_only_an_amount_that_arrives_as_it_was_sold_is_bought",),
    ),
    Mutant(
        "what this process is about to confirm is not cancelled",
        "src/telvend/providers/dtone/client.py",
        "        if delivery.reference in self._under_way:\n",
        "        if False:\n",
        (f"{VENDORS}/test_world.py::test_a_requery_does_not_cancel_what_this_process_is_about_to_confirm",),
    ),
    Mutant(
        "a process that was stopped for long does not confirm any more",
        "src/telvend/providers/dtone/client.py",
        "if self._clock.monotonic() - begun_s > self._confirmed_within_s:",
        "if False:",
        (f"{VENDORS}/test_world.py::test_a_process_that_was_stopped_for_long_does_not_confirm_any_more",),
    ),
    Mutant(
        "a creation without an answer is asked about, and so closed",
        "src/telvend/providers/dtone/wire.py",
        '        return Unknown(f"no answer to a creation: {reply.excerpt}")\n',
        '        return NotSent(f"no answer to a creation: {reply.excerpt}")\n',
        (f"{VENDORS}/test_world.py::test_a_creation_without_an_answer_delivers_nothing_and_is_closed",),
    ),
    Mutant(
        "a status of DT One that contradicts itself means nothing",
        "src/telvend/providers/dtone/wire.py",
        "    return found if name in (None, found.name) else None\n",
        "    return found\n",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "a reference that the far side has closed is believed at once",
        "src/telvend/fulfilment/weighing.py",
        "    if requery and (closed or isinstance(report.outcome, Refused)):\n",
        "    if requery and isinstance(report.outcome, Refused):\n",
        (
            "tests/unit/fulfilment/test_rules.py::test_a_reference_that_is_closed_is_believed_at_once_however_often_it_was_sent",
        ),
    ),
    Mutant(
        "an answer that is no JSON, or says something twice, means nothing",
        "src/telvend/providers/reading.py",
        "    if len(found) != len(pairs):\n",
        "    if False:\n",
        (f"{VENDORS}/test_examples.py::test_a_key_that_stands_twice_means_nothing",),
    ),
    Mutant(
        "what is on its way is not said never to have arrived",
        "src/telvend/providers/over_http.py",
        "if isinstance(told, NotSent) and delivery.reference in self._under_way:",
        "if False:",
        (f"{VENDORS}/test_clients.py::test_a_request_that_is_on_its_way_is_not_said_never_to_have_arrived",),
    ),
    Mutant(
        "the status of another order is not ours",
        "src/telvend/providers/netpluse/wire.py",
        "if reference is None or not _is_ours(delivery, body, reference):",
        "if reference is None:",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "a plan is bought only where it is the only one",
        "src/telvend/providers/networkdatasub/wire.py",
        "    if len(found) == 1:\n",
        "    if found:\n",
        (f"{VENDORS}/test_clients.py::test_a_plan_that_is_not_certain_is_not_bought",),
    ),
    Mutant(
        "what stands behind the words of a failed purchase may be a time-out",
        "src/telvend/providers/networkdatasub/wire.py",
        "if data is None and not words.startswith(_FAILED_TO_PURCHASE):",
        "if data is None:",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "a transaction is ours only where no other attempt can explain it",
        "src/telvend/providers/networkdatasub/search.py",
        "        if delivery.rivals:\n",
        "        if False:\n",
        (f"{VENDORS}/test_search.py::test_where_a_doubt_is_left_it_stays_unknown",),
    ),
    Mutant(
        "a transaction is ours only where it is the only one like it",
        "src/telvend/providers/networkdatasub/search.py",
        "        if len(alike) != 1:\n",
        "        if not alike:\n",
        (f"{VENDORS}/test_search.py::test_where_a_doubt_is_left_it_stays_unknown",),
    ),
    Mutant(
        "nothing is concluded from a list while a later purchase may fall into it",
        "src/telvend/providers/networkdatasub/search.py",
        "if now < self.started_at + timedelta(seconds=self.timeout_s + 2 * CLOCK_DIFFERENCE_S):",
        "if False:",
        (f"{VENDORS}/test_search.py::test_nothing_is_concluded_before_its_time_is_over",),
    ),
    Mutant(
        "a list that was not read whole proves nothing",
        "src/telvend/providers/networkdatasub/search.py",
        "        if not are_whole(pages) or any(page.unread for page in pages):\n",
        "        if False:\n",
        (f"{VENDORS}/test_search.py::test_a_list_that_is_not_as_printed_proves_nothing",),
    ),
    Mutant(
        "a transaction belongs to one order",
        "src/telvend/providers/networkdatasub/search.py",
        " or transaction.reference in claimed:",
        ":",
        (f"{VENDORS}/test_search.py::test_a_transaction_belongs_to_one_order_only",),
    ),
    Mutant(
        "the code of VTpass is not the outcome of a transaction",
        "src/telvend/providers/vtpass/wire.py",
        '    if has_transaction and at(body, "content", "transactions", "status") not in _UNDONE:\n',
        "    if False:\n",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "an answer of VTpass about another request is not ours",
        "src/telvend/providers/vtpass/wire.py",
        "    if said is not None and said != delivery.reference:\n",
        "    if False:\n",
        (f"{VENDORS}/test_examples.py::test_every_recorded_answer_has_its_outcome",),
    ),
    Mutant(
        "attempts of two orders have two request ids",
        "src/telvend/providers/vtpass/wire.py",
        'own = hashlib.sha256(f"{order_reference}-{number}".encode()).hexdigest()[:_UNIQUE_CHARACTERS]',
        'own = f"{order_reference}{number}".replace("-", "").ljust(_UNIQUE_CHARACTERS, "0")',
        (
            f"{VENDORS}/test_clients.py::test_a_request_id_begins_with_the_minute_in_lagos_and_is_another_for_every_attempt",
        ),
    ),
    Mutant(
        "test orders pause no network",
        "src/telvend/fulfilment/network_health.py",
        "if mode is not Mode.LIVE or not self.listens:",
        "if not self.listens:",
        (
            "tests/unit/fulfilment/test_network_health.py"
            "::test_live_attempts_are_counted_by_country_and_network_and_test_orders_are_not",
        ),
    ),
    Mutant(
        "a delivery ends the streak of a network",
        "src/telvend/catalog/pauses/model.py",
        "if self.failures and self.delivered is not None and self.delivered >= self.since:",
        "if False:",
        (f"{PAUSE_RULES}::test_a_network_that_has_delivered_is_not_paused_whoever_saw_it",),
    ),
    Mutant(
        "a person's pause is lifted by a person alone",
        "src/telvend/catalog/pauses/model.py",
        "    if not pause.automatic:\n        return None\n",
        "",
        (f"{PAUSES}::test_a_persons_pause_is_lifted_by_a_person_alone",),
    ),
    Mutant(
        "a trial lets so many sales through over all nodes",
        "src/telvend/catalog/pauses/store.py",
        " where network_id = $1 and ended_at is null and trial_left > 0 returning id, trial, trial_left",
        " where network_id = $1 and ended_at is null returning id, trial, trial_left",
        (f"{PAUSES}::test_a_paused_network_is_tried_with_so_many_sales_over_all_nodes_and_rests_again",),
    ),
    Mutant(
        "a sale that was not made takes nothing from a trial",
        "src/telvend/orders/service.py",
        "            if ticket is not None and not isinstance(error, Busy):\n",
        "            if False:\n",
        (f"{PAUSES}::test_a_sale_that_was_not_made_takes_nothing_from_the_trial",),
    ),
    Mutant(
        "nobody confirms what they have proposed",
        "src/telvend/approvals/model.py",
        "if same_person(proposal.proposed_by, by_whom):",
        "if proposal.proposed_by == by_whom:",
        (f"{APPROVALS}::test_another_person_confirms_and_both_names_are_kept",),
    ),
    Mutant(
        "what one person does in parts adds up",
        "src/telvend/approvals/gate.py",
        "await store.write_alone(tx, act, cause)",
        "pass",
        (f"{SECOND_PERSON}::test_small_credits_of_one_day_add_up",),
    ),
    Mutant(
        "what has expired is not confirmed",
        "src/telvend/approvals/store.py",
        "when p.expires_at <= statement_timestamp() then 'expired' else 'waiting' end",
        "when false then 'expired' else 'waiting' end",
        (f"{APPROVALS}::test_what_nobody_confirms_in_time_expires_and_may_be_proposed_again",),
    ),
    Mutant(
        "a confirmation and its deed are one transaction",
        "src/telvend/approvals/gate.py",
        '        await hit_async("approval.before_deed")\n',
        '        await tx.execute("commit")\n        await hit_async("approval.before_deed")\n',
        (f"{APPROVALS}::test_a_confirmed_credit_that_is_killed_is_made_once",),
    ),
    Mutant(
        "a decision by hand passes the gate",
        "src/telvend/fulfilment/settlement.py",
        "if isinstance(item, PersonVerdict)\n            else",
        "if isinstance(item, PersonVerdict) and item.confirmation\n            else",
        (f"{SECOND_PERSON}::test_an_order_is_decided_by_two_people",),
    ),
    Mutant(
        "the audit finds a proposal that one person has confirmed",
        "src/telvend/approvals/invariants.py",
        "e.who = p.who",
        "false",
        (f"{APPROVALS}::test_the_audit_finds",),
    ),
    Mutant(
        "a payload is sealed",
        "src/telvend/orders/payloads/keys.py",
        'return seal(self._cipher, _encode(payload.reveal()), f"telvend payload {order_id}")',
        "return _encode(payload.reveal())",
        (f"{KINDS}::test_a_payload_opens_as_it_was_sealed_for_its_order_and_its_key_alone",),
    ),
    Mutant(
        "each reading of a payload is noted",
        "src/telvend/orders/payloads/service.py",
        "            await store.note_reading(tx, order_id, reader)\n",
        "",
        (f"{KINDS}::test_secrets_stand_nowhere_in_the_open_and_each_reading_is_noted",),
    ),
    Mutant(
        "a delivery without its payload is asked about",
        "src/telvend/fulfilment/settlement.py",
        "if locked.payload is None and locked.posting is None:",
        "if locked.payload is None:",
        (f"{KINDS}::test_success_without_a_payload_is_paid_for_asked_about_and_never_vended_again",),
    ),
    Mutant(
        "a provider gets the kinds that it delivers",
        "src/telvend/fulfilment/routing.py",
        "            and wanted.kind in traits.kinds\n",
        "",
        ("tests/unit/fulfilment/test_routing.py::test_a_provider_is_asked_for_the_kinds_that_it_delivers_alone",),
    ),
    Mutant(
        "an attempt keeps the code that the provider was sent",
        "src/telvend/fulfilment/store.py",
        "step.reference, step.cost.minor, step.provider_code, step.type",
        'step.reference, step.cost.minor, "", step.type',
        ("tests/store/test_fulfilment_store.py::test_an_attempt_keeps_what_the_provider_was_sent",),
    ),
    Mutant(
        "a provider that is not live gets no live order",
        "src/telvend/providers/upstream.py",
        "live_mode=traits.live_mode and settings.live,",
        "live_mode=traits.live_mode,",
        (
            "tests/store/test_cli_providers.py"
            "::test_a_provider_that_is_not_live_gets_no_live_order_and_one_for_tests_gets_those",
        ),
    ),
    Mutant(
        "a trial that was settled stays settled",
        "src/telvend/fulfilment/trials/store.py",
        " where id = $1 and state in ('started', 'accepted', 'unknown')",
        " where id = $1",
        ("tests/store/test_trials.py::test_what_was_settled_meanwhile_is_not_unsettled_by_a_late_answer",),
    ),
    Mutant(
        "of a trial, never heard of counts only after a time",
        "src/telvend/fulfilment/trials/model.py",
        "if isinstance(outcome, NotSent) and age_s < settles_after_s:",
        "if False:",
        ("tests/store/test_trials.py::test_never_heard_of_counts_only_after_a_time",),
    ),
    Mutant(
        "the lock on the wallet",
        "src/telvend/ledger/store.py",
        "order by account_id for no key update",
        "order by account_id",
        (f"{PLACEMENT}::test_two_lanes_sell_exactly_what_one_wallet_pays_for",),
    ),
    Mutant(
        "the unique reference",
        "src/telvend/database/migrations/sql/0001_shop.sql",
        "create unique index orders_client_reference",
        "create index orders_client_reference",
        (f"{PLACEMENT}::test_one_reference_through_two_wallets_at_once_is_one_order",),
    ),
    Mutant(
        "a reference is looked up",
        "src/telvend/sales/kind.py",
        "held = await find(tx, keys) if keys else {}",
        "held: dict[SaleKey, tuple[Sale, str]] = {}",
        (f"{PLACEMENT}::test_four_lanes_place_one_reference_once",),
    ),
    Mutant(
        "a reference is looked for in every kind of sale",
        "src/telvend/sales/kind.py",
        "taken = await store.taken_by_others(tx, self.kind, shared) if shared else set()",
        "taken: set[SaleKey] = set()",
        (f"{SALE}::test_a_reference_that_another_kind_of_sale_has_is_refused",),
    ),
    Mutant(
        "the lock on a reference that several kinds may take",
        "src/telvend/sales/kind.py",
        "await store.lock_references(tx, shared)",
        "pass",
        (f"{SALE}::test_two_kinds_at_once_from_two_wallets_are_one_sale",),
    ),
    Mutant(
        "another request under the reference",
        "src/telvend/sales/replay.py",
        "if before[1] != fingerprint:",
        "if False:",
        (f"{SALE}::test_other_content_under_the_reference_is_refused",),
    ),
    Mutant(
        "a COMMIT whose reply was lost is looked for",
        "src/telvend/database/batch.py",
        "await self._find(decided.after_lost_commit, error)",
        "pass",
        (f"{PLACEMENT}::test_a_commit_that_never_arrived_is_busy_for_everybody_and_takes_nothing",),
    ),
    Mutant(
        "what fails after COMMIT is not decided again",
        "src/telvend/database/batch.py",
        "            return [error] * len(items)",
        "            raise",
        (f"{PLACEMENT}::test_what_fails_after_commit_sells_nothing_a_second_time",),
    ),
    Mutant(
        "a committed sale stands, whatever becomes of the memory of it",
        "src/telvend/database/connections.py",
        """            except Exception:
                # The transaction is committed.""",
        """            except ZeroDivisionError:
                # The transaction is committed.""",
        (f"{PLACEMENT}::test_what_fails_after_commit_sells_nothing_a_second_time",),
    ),
    Mutant(
        "airtime arrives whole, whatever the reseller pays",
        "src/telvend/fulfilment/calls.py",
        "face_value=order.face,",
        "face_value=order.price,",
        ("tests/store/test_own_network.py::test_a_subscriber_gets_what_was_sold_whatever_the_catalogue_says_by_then",),
    ),
    Mutant(
        "a callback changes nothing where a worker has the order, or it has ended",
        "src/telvend/fulfilment/weighing.py",
        "or locked.state not in (OrderState.WAITING, OrderState.REVIEW):",
        "or locked.state.final:",
        ("tests/unit/fulfilment/test_rules.py",),
    ),
    Mutant(
        "a question that a callback brings forward does not count",
        "src/telvend/fulfilment/weighing.py",
        "attempt.asked -= 1",
        "attempt.asked -= 0",
        ("tests/unit/fulfilment/test_rules.py",),
    ),
    Mutant(
        "a signature is of a short time ago",
        "src/telvend/upstreams/callbacks/model.py",
        "made) and fresh",
        "made)",
        ("tests/unit/upstreams/test_callback_forms.py",),
    ),
    Mutant(
        "the secret of a signature opens no address",
        "src/telvend/upstreams/callbacks/service.py",
        "genuine = by_path if signature is None else by_signature and path_secret is None",
        "genuine = by_path or by_signature",
        ("tests/store/test_callbacks.py::test_a_signed_callback_is_taken_and_a_forged_or_late_one_is_nothing",),
    ),
    Mutant(
        "a list of which transactions may be missing is no statement",
        "src/telvend/providers/pages.py",
        "if first_total is not None and len(seen) + unread < first_total:",
        "if first_total is not None and not seen and first_total < 0:",
        (f"{VENDORS}/test_lists.py",),
    ),
    Mutant(
        "a list that has become shorter is no statement",
        "src/telvend/providers/pages.py",
        "if page.total is not None and page.total < (first_total or 0):",
        "if page.total is not None and page.total < 0:",
        (f"{VENDORS}/test_lists.py",),
    ),
    Mutant(
        "a transaction that cannot be read is left over",
        "src/telvend/providers/pages.py",
        "for _ in range(page.unread):",
        "for _ in range(0):",
        (f"{VENDORS}/test_lists.py",),
    ),
    Mutant(
        "a top-up that was paid back is not delivered",
        "src/telvend/providers/reloadly/wire.py",
        "Status.REFUNDED.value: LineStatus.FAILED,",
        "Status.REFUNDED.value: LineStatus.DELIVERED,",
        (f"{VENDORS}/test_lists.py",),
    ),
    Mutant(
        "a transaction that was taken back is not delivered",
        "src/telvend/providers/dtone/wire.py",
        "StatusClass.REVERSED: LineStatus.FAILED,",
        "StatusClass.REVERSED: LineStatus.DELIVERED,",
        (f"{VENDORS}/test_lists.py",),
    ),
    Mutant(
        "a row that waits for a paused network is never sold for more than was shown",
        "src/telvend/orders/list_sales.py",
        "if wanted.quote is not None and wanted.quote.price != sale.price:",
        "if wanted.quote is not None and wanted.quote.price != sale.price and not sale.waits:",
        ("tests/store/test_place_list.py::test_a_row_that_waited_is_not_sold_for_another_price",),
    ),
    Mutant(
        "two deliveries under one reference are left over",
        "src/telvend/upstreams/reconciliation/model.py",
        "if told.times > 1:\n            return",
        "if told.times > 2:\n            return",
        ("tests/unit/upstreams/test_matching.py",),
    ),
    Mutant(
        "delivered there and failed here is money lost",
        "src/telvend/upstreams/reconciliation/model.py",
        "side = Side.DIFFERENT if attempt.state.open else Side.ONLY_THERE",
        "side = Side.DIFFERENT",
        ("tests/unit/upstreams/test_matching.py",),
    ),
    Mutant(
        "a line with an unknown reference of ours is no other attempt's",
        "src/telvend/upstreams/reconciliation/model.py",
        "if not (line.reference and self._has_ours)",
        "if self._lines is not None",
        ("tests/unit/upstreams/test_matching.py",),
    ),
    Mutant(
        "what was paid back is not delivered",
        "src/telvend/upstreams/reconciliation/model.py",
        "standing = list(delivered.values())[given_back:]",
        "standing = list(delivered.values())",
        ("tests/unit/upstreams/test_matching.py",),
    ),
    Mutant(
        "unknown is not a refusal",
        "src/telvend/fulfilment/weighing.py",
        "attempt.state = AttemptState.UNKNOWN",
        "attempt.state = AttemptState.REFUSED",
        (f"{STORIES}::test_unknown_outcome_keeps_the_hold_until_the_answer_is_delivered",),
    ),
    Mutant(
        "unknown is not 'not sent'",
        "src/telvend/fulfilment/weighing.py",
        "attempt.state = AttemptState.UNKNOWN",
        "attempt.state = AttemptState.NOT_SENT",
        (f"{STORIES}::test_unknown_outcome_keeps_the_hold_until_the_answer_is_delivered",),
    ),
    Mutant(
        "no timer ends an unknown",
        "src/telvend/fulfilment/weighing.py",
        """        locked.become(OrderState.REVIEW)
        return Effect.REVIEW
    delay_s *= """,
        """        locked.releases = True
        locked.become(OrderState.FAILED)
        return Effect.FAILED
    delay_s *= """,
        (f"{STORIES}::test_what_asking_does_not_settle_waits_for_a_person_who_says_delivered",),
    ),
    Mutant(
        "a refused resend says nothing of the first request",
        "src/telvend/fulfilment/weighing.py",
        "requery = report.asked and not report.to_resend",
        "requery = report.asked",
        (
            "tests/simulation/test_worker.py::test_a_refused_resend_gives_nothing_back_while_the_first_request_may_arrive",
        ),
    ),
    Mutant(
        "whoever does not know of a resend is not believed",
        "src/telvend/fulfilment/weighing.py",
        "if resent != report.resent:",
        "if False:",
        (
            "tests/store/test_fulfilment_store.py"
            "::test_only_an_open_attempt_that_was_not_accepted_is_counted_as_sent_again",
        ),
    ),
    Mutant(
        "a resend counts from when it was made",
        "src/telvend/fulfilment/in_flight.py",
        "        if count < resent:",
        "        if False:",
        ("tests/simulation/test_worker.py::test_a_worker_that_finds_a_resend_of_another_one_waits_for_it_too",),
    ),
    Mutant(
        "only an idempotency key is sent again",
        "src/telvend/fulfilment/calls.py",
        "return provider.traits.reference_is_key",
        "return True",
        (
            "tests/simulation/test_worker.py::test_nothing_is_sent_again_where_that_could_deliver_twice_or_may_not_be_sent",
        ),
    ),
    Mutant(
        "too soon for a number ends no order",
        "src/telvend/fulfilment/weighing.py",
        "attempt.again = outcome.reason is Reason.TOO_SOON",
        "attempt.again = False",
        (
            "tests/simulation/test_worker.py"
            "::test_orders_for_one_number_wait_for_one_another_where_the_provider_takes_one_in_thirty_seconds",
        ),
    ),
    Mutant(
        "where all rest they are probed",
        "src/telvend/fulfilment/routing.py",
        "alone = not ready and all(",
        "alone = False and all(",
        (
            "tests/unit/fulfilment/test_routing.py"
            "::test_where_all_rest_the_sale_waits_and_a_probe_is_made_every_five_seconds",
        ),
    ),
    Mutant(
        "nothing is sent again to a provider that is off",
        "src/telvend/fulfilment/routing.py",
        "return route is not None and route.state is not ProviderState.OFF",
        "return route is not None",
        ("tests/unit/fulfilment/test_routing.py::test_a_provider_that_is_off_or_drains_gets_nothing_new",),
    ),
    Mutant(
        "a top-up is recorded once",
        "src/telvend/upstreams/store.py",
        " on conflict (provider, reference) do nothing returning id",
        " on conflict (provider, reference) do update set reference = excluded.reference || 'x' returning id",
        ("tests/store/test_upstreams.py::test_a_topup_is_recorded_once_for_each_reference_and_never_changed",),
    ),
    Mutant(
        "an open attempt is asked about",
        "src/telvend/fulfilment/rules.py",
        """    if open_attempts:
        return Requery(open_attempts[0])
""",
        "",
        (f"{STORIES}::test_a_worker_that_takes_over_asks_and_does_not_buy_again",),
    ),
    Mutant(
        "a payment has to fit",
        "src/telvend/funding/model.py",
        "return Suspect(problem) if problem else Credit(word)",
        "return Credit(word)",
        (f"{NIGERIA}::test_a_payment_that_does_not_fit_credits_nothing_and_waits_for_a_person",),
    ),
    Mutant(
        "a notice's signature",
        "src/telvend/funding/service.py",
        """            return Received.FORGED
        number = """,
        """            told = gateway.read_webhook({"signed": "yes"}, body)
        number = """,
        (f"{NIGERIA}::test_a_forged_notice_does_not_even_have_the_gateway_asked",),
    ),
    Mutant(
        "airtime's discount is held",
        "src/telvend/orders/service.py",
        "airtime.price(amount, caller.reseller_id), airtime.cost(amount)",
        "amount, airtime.cost(amount)",
        (f"{NIGERIA}::test_airtime_with_a_discount_holds_and_posts_what_the_reseller_pays",),
    ),
    Mutant(
        "a row of a list is sold at the price that was shown",
        "src/telvend/orders/list_sales.py",
        "if wanted.quote is not None and wanted.quote.price != sale.price:",
        "if False:",
        (f"{LISTS}::test_a_row_is_sold_at_the_price_that_was_shown_or_not_at_all",),
    ),
    Mutant(
        "a row keeps its reference when the file is saved in another form",
        "src/telvend/orders/list_sales.py",
        "next(str(caller.reseller_id), row.product, item.recipient, amount)",
        "next(str(caller.reseller_id), row.product, row.to, amount)",
        (f"{LISTS}::test_rows_without_a_reference_are_sold_once_however_the_file_is_saved_sorted_or_added_to",),
    ),
    Mutant(
        "a row that was changed under its reference is refused",
        "src/telvend/orders/list_sales.py",
        "if changed := self._changed(sale, order, mode):",
        "if changed := []:",
        (f"{LISTS}::test_a_row_that_was_changed_under_its_reference_is_named",),
    ),
    Mutant(
        "another purchase under the reference of a row is not that row's",
        "src/telvend/orders/list_sales.py",
        "(sale.error and self._changed(sale, order, mode))",
        "False",
        (f"{LISTS}::test_another_purchase_that_took_the_reference_meanwhile_is_not_this_row",),
    ),
    Mutant(
        "a copy of a list is held up",
        "src/telvend/orders/list_sales.py",
        "        if wanted and self._repeated_within is not None:\n            since = ",
        "        if False:\n            since = ",
        (f"{LISTS}::test_what_was_asked_for_before_is_sold_again_only_on_purpose",),
    ),
    Mutant(
        "an owner puts play money into test wallets alone",
        "src/telvend/funding/credits/service.py",
        'Mode.TEST, f"play money {once}"',
        'Mode.LIVE, f"play money {once}"',
        ("tests/store/test_own_keys.py",),
    ),
    Mutant(
        "a test wallet is filled up to a bound",
        "src/telvend/funding/credits/service.py",
        "if most is not None and journal",
        "if most is None and journal",
        ("tests/store/test_own_keys.py",),
    ),
    Mutant(
        "somebody else's key is not found",
        "src/telvend/resellers/service.py",
        "(owner is not None and key.reseller_id != owner)",
        "(owner is not None and key.reseller_id is None)",
        ("tests/store/test_own_keys.py",),
    ),
    Mutant(
        "a page calls an API in test mode only",
        "src/telvend/dialects/trying.py",
        "if caller.mode is not Mode.TEST:",
        "if caller.mode is None:",
        ("tests/unit/dialects/test_trying.py",),
    ),
    Mutant(
        "a page sells at the price that it has shown",
        "src/telvend/orders/counter.py",
        "if wanted.quote is not None and wanted.quote.price != price:",
        "if False:",
        (f"{BUYING}::test_nothing_is_bought_at_a_price_that_was_not_shown",),
    ),
    Mutant(
        "what was bought on a page is answered whatever it costs now",
        "src/telvend/orders/counter.py",
        "if not await self._orders.under([key]):",
        "if True:",
        (f"{BUYING}::test_a_double_click_a_reload_and_two_tabs_buy_once",),
    ),
    Mutant(
        "an uploaded list is paid by its own reseller",
        "src/telvend/orders/bulk/service.py",
        "if isinstance(row, PurchaseRow) and row.email:",
        "if False:",
        (f"{BULK}::test_nobody_elses_wallet_pays",),
    ),
    Mutant(
        "a line that was bought stays bought",
        "src/telvend/orders/bulk/store.py",
        " and bulk_line.state <> 'bought'",
        "",
        (f"{BULK}::test_a_refusal_that_another_worker_has_overtaken_is_no_refusal",),
    ),
    Mutant(
        "a line keeps its reference in every try",
        "src/telvend/orders/bulk/worker.py",
        "item, line.price, line.reference)",
        "item, line.price, f'{line.reference}{id(line)}')",
        (f"{BULK}::test_a_worker_that_dies_after_buying_leaves_nothing_to_be_bought_twice",),
    ),
    Mutant(
        "a receipt link that was revoked opens nothing",
        "src/telvend/orders/receipt_links/store.py",
        "where digest = $1 and revoked_at is null and",
        "where digest = $1 and",
        (f"{SOLD}::test_a_link_shows_the_receipt_and_nothing_else_until_it_is_revoked",),
    ),
    Mutant(
        "no answer, no sale",
        "src/telvend/identity/verification.py",
        "        if isinstance(answer, Found):\n            _post(",
        "        if True:\n            _post(",
        (f"{NIGERIA}::test_no_answer_gives_the_hold_back_and_leaves_the_reference_free",),
    ),
    Mutant(
        "a check that is used again is paid",
        "src/telvend/identity/verification.py",
        "            _post(journal, number, accounts, price.price, _nothing())",
        "            journal.release(number, wallet_id, accounts.in_flight, price.price)",
        (f"{NIGERIA}::test_a_record_that_is_used_again_is_paid_again_and_costs_nothing",),
    ),
    Mutant(
        "the lock on the subscriber",
        "src/telvend/operator/subscribers/store.py",
        "where id = any(array(select id from wanted)) order by id for no key update",
        "where id = any(array(select id from wanted)) order by id",
        (f"{USAGE}::test_two_processes_that_use_the_same_balance_wait_for_each_other",),
    ),
    Mutant(
        "a delivery gives what it has claimed, and nothing else",
        "src/telvend/operator/provisioning/service.py",
        "given = [item for item in deliveries if item.reference in claimed]",
        "given = deliveries",
        (f"{PROVISIONING}::test_the_same_reference_gives_once_in_one_batch_and_later",),
    ),
    Mutant(
        "a question closes what nobody has heard of",
        "src/telvend/operator/provisioning/service.py",
        "return ReferenceClaim(item.reference, DeliveryState.CLOSED)",
        "return ReferenceClaim(item.reference, DeliveryState.REFUSED)",
        (f"{PROVISIONING}::test_asking_about_an_unknown_reference_closes_it",),
    ),
    Mutant(
        "what is reserved nobody else can use",
        "src/telvend/operator/subscribers/balances/model.py",
        "return self.balance - self.reserved",
        "return self.balance",
        (f"{BALANCES}::TestLife",),
    ),
    Mutant(
        "a consumption counts once",
        "src/telvend/operator/usage/decisions.py",
        "known = self.consumed.get((subscriber.id, request.reference))",
        "known = None",
        (f"{USAGE}::test_consuming_counts_once_for_its_reference",),
    ),
    Mutant(
        "what ends soonest is used first",
        "src/telvend/operator/subscribers/balances/account.py",
        "return (bucket.priority, ends_at or _NEVER, bucket.created_at or now, bucket.id)",
        "return (bucket.priority, _NEVER, bucket.created_at or now, bucket.id)",
        (f"{BALANCES}::test_the_order_of_use_is_priority_expiry_age_id_whatever_order_they_come_in",),
    ),
    Mutant(
        "a known refill is looked up",
        "src/telvend/operator/refills/placement.py",
        "await self._sale.look_up(tx, {item.key for item in items}, store.find_by_transaction)",
        "await self._sale.look_up(tx, set(), store.find_by_transaction)",
        (f"{REFILLS}::test_the_same_request_again_is_the_same_refill_whatever_has_changed",),
    ),
    Mutant(
        "one refill for each transaction",
        "src/telvend/database/migrations/sql/0006_subscribers.sql",
        "create unique index refill_transaction",
        "create index refill_transaction",
        (f"{REFILLS}::test_one_transaction_for_two_subscribers_at_once_in_two_processes_is_one",),
    ),
    Mutant(
        "the lock on a voucher",
        "src/telvend/operator/vouchers/store.py",
        "where pin_hash = any($1::bytea[]) order by serial for no key update",
        "where pin_hash = any($1::bytea[]) order by serial",
        # The unique index on refill.serial still refuses the second: with a failure instead of an answer.
        (f"{REFILLS}::test_two_partners_with_one_voucher_at_once_load_it_once",),
    ),
    Mutant(
        "a voucher is used up within its batch",
        "src/telvend/operator/refills/decisions.py",
        "voucher.state = VoucherState.USED",
        "pass",
        (f"{REFILLS}::test_one_batch_is_decided_in_its_order",),
    ),
    Mutant(
        "who stops a batch waits for whoever loads of it",
        "src/telvend/operator/vouchers/store.py",
        "where id = any($1::bigint[]) order by id for share",
        "where id = any($1::bigint[]) order by id",
        (f"{REFILLS}::test_a_refill_under_way_is_waited_for_by_who_stops_the_batch",),
    ),
    Mutant(
        "the lock on who guesses",
        "src/telvend/operator/vouchers/guard/store.py",
        "and pin_guard.subject = wanted.subject for update",
        "and pin_guard.subject = wanted.subject",
        (f"{REFILLS}::test_sixty_wrong_pins_at_once_for_as_many_subscribers_are_fifty_tries",),
    ),
    Mutant(
        "a source is never locked",
        "src/telvend/operator/vouchers/guard/model.py",
        "return self.kind is not Guarded.SOURCE",
        "return True",
        (f"{REFILLS}::test_two_partners_who_guess_at_one_address_do_not_lock_a_third",),
    ),
    Mutant(
        "what the client calls itself is no part of the lock",
        "src/telvend/operator/refills/decisions.py",
        "source = _plain(request.source)",
        'source = _plain(f"{request.source} {request.system}")',
        (f"{REFILLS}::test_another_name_is_not_another_allowance",),
    ),
    Mutant(
        "barred is said before any PIN is looked at",
        "src/telvend/operator/refills/decisions.py",
        "            account.require_status()\n",
        "",
        (f"{REFILLS}::test_a_subscriber_who_is_not_there_or_barred_is_told_before_any_pin_is_looked_at",),
    ),
    Mutant(
        "a batch is available only when all was handed over",
        "src/telvend/operator/vouchers/store.py",
        "insert into voucher_batch (mode, currency, amount_minor, profile, first_serial, count, expires_at)\n"
        "            select $1, $2, $3, $4, coalesce(max(first_serial + count), {FIRST_SERIAL}), $5, $6 from voucher_batch",
        "insert into voucher_batch (mode, currency, amount_minor, profile, first_serial, count, expires_at, state)\n"
        "            select $1, $2, $3, $4, coalesce(max(first_serial + count), {FIRST_SERIAL}), $5, $6, 'available'"
        " from voucher_batch",
        ("tests/store/test_vouchers.py::test_nothing_can_be_loaded_before_everything_was_handed_over",),
    ),
    Mutant(
        "a refund takes from the margin",
        "src/telvend/reports/model.py",
        "self.sold_minor - self.cost_minor - self.refunded_minor - self.written_off_minor",
        "self.sold_minor - self.cost_minor - self.written_off_minor",
        (f"{REPORTS}::test_a_month_of_sales_with_the_figures_after_each_step",),
    ),
    Mutant(
        "a sale below cost takes from the margin, by more than the day too",
        "src/telvend/reports/store.py",
        "    if unprofitable:\n",
        "    if False:\n",
        (f"{REPORTS}::test_whatever_happens_reports_come_to_what_the_ledger_says",),
    ),
    Mutant(
        "a closed month is read from what was sealed",
        "src/telvend/reports/model.py",
        "if any(day in month for month in months):",
        "if False:",
        (f"{REPORTS}::test_figures_of_a_closed_month_are_those_that_were_sealed_whatever_the_orders_say",),
    ),
    Mutant(
        "a month is over before it is closed",
        "src/telvend/reports/service.py",
        "if await clock(tx) < span.ends_at:",
        "if False:",
        (f"{REPORTS}::test_the_current_month_is_not_over",),
    ),
    Mutant(
        "an order is lent its price once",
        "src/telvend/fulfilment/provisional/service.py",
        "                if order.credited:\n",
        "                if False:\n",
        (f"{PROVISIONAL}::test_credits_at_once_lend_once",),
    ),
    Mutant(
        "a provisional credit ends with its order",
        "src/telvend/fulfilment/settlement.py",
        "[locked for locked in locked_orders.values() if locked.credited and locked.state.final]",
        "[]",
        (f"{PROVISIONAL}::test_a_credited_order_that_has_failed_makes_the_credit_good_and_pays_nobody_twice",),
    ),
    Mutant(
        "the credit of a failed order is taken back",
        "src/telvend/fulfilment/provisional/ending.py",
        "        if not locked.releases:\n",
        "        if True:\n",
        (f"{PROVISIONAL}::test_a_credited_order_that_has_failed_makes_the_credit_good_and_pays_nobody_twice",),
    ),
    Mutant(
        "a program that does not know of credits ends no credited order",
        "src/telvend/database/migrations/sql/0022_provisional_credits.sql",
        "or provisional = 'open' and state not in ('delivered', 'failed')",
        "or provisional = 'open'",
        (f"{PROVISIONAL}::test_a_program_that_does_not_know_of_credits_cannot_end_a_credited_order",),
    ),
    Mutant(
        "a wallet with play money is lent nothing",
        "src/telvend/fulfilment/provisional/model.py",
        "    if order.holds_play_money:\n",
        "    if False:\n",
        (f"{PROVISIONAL}::test_a_wallet_with_play_money_gets_no_credit",),
    ),
    Mutant(
        "an order of a test key is lent nothing",
        "src/telvend/fulfilment/provisional/model.py",
        "    if order.mode is not Mode.LIVE:\n",
        "    if False:\n",
        (f"{PROVISIONAL}::test_only_live_orders_with_an_unknown_outcome_get_a_credit",),
    ),
    Mutant(
        "an order that a provider says it has delivered is lent nothing",
        "src/telvend/fulfilment/provisional/model.py",
        "    if AttemptState.DELIVERED in order.attempts:\n",
        "    if False:\n",
        ("tests/unit/fulfilment/test_provisional.py::test_every_other_order_gets_none",),
    ),
    Mutant(
        "a jump of the database's clock makes no order older",
        "src/telvend/fulfilment/provisional/model.py",
        "ahead = min(ahead, age_s - now)",
        "ahead = age_s - now",
        (f"{PROVISIONAL}::test_the_rule_believes_no_jump_of_the_databases_clock",),
    ),
    Mutant(
        "nothing is lent while sales are held",
        "src/telvend/fulfilment/provisional/service.py",
        "        if self._held():\n",
        "        if False:\n",
        (f"{PROVISIONAL}::test_the_rule_gives_nothing_while_sales_are_held",),
    ),
    Mutant(
        "a refund does not pay a second time after a provisional credit",
        "src/telvend/corrections/service.py",
        "        if credit is not None:\n",
        "        if False:\n",
        (f"{PROVISIONAL}::test_a_refund_after_a_credit_would_pay_twice_and_is_refused",),
    ),
    Mutant(
        "a provider that contradicts itself moves no money",
        "src/telvend/fulfilment/weighing.py",
        "if attempt.state is AttemptState.DELIVERED else attempt.by_hand\n",
        "if attempt.state is AttemptState.DELIVERED else True\n",
        (
            "tests/store/test_fulfilment_store.py::test_delivered_after_the_order_has_failed_is_noted_and_moves_no_money",
        ),
    ),
    Mutant(
        "a decision by hand pays the provider that has delivered, not another one that may have",
        "src/telvend/fulfilment/weighing.py",
        "arrived = verdict.delivered and not delivered",
        "arrived = verdict.delivered",
        ("tests/unit/fulfilment/test_rules.py::test_a_person_who_says_delivered_pays_the_provider_that_has_said_so",),
    ),
    Mutant(
        "what a person has decided is kept with the attempt",
        "src/telvend/fulfilment/store.py",
        "            if locked.decided_by_hand:\n",
        "            if False:\n",
        ("tests/store/test_fulfilment_store.py::test_what_a_provider_says_against_a_person_is_a_write_off_once",),
    ),
    Mutant(
        "a late report moves money once",
        "src/telvend/fulfilment/weighing.py",
        "    if attempt.reported or any(report.attempt == attempt.number for report in locked.late):\n",
        "    if False:\n",
        ("tests/store/test_fulfilment_store.py::test_what_a_provider_says_against_a_person_is_a_write_off_once",),
    ),
    Mutant(
        "what was delivered is owed though a person decides otherwise",
        "src/telvend/fulfilment/weighing.py",
        "    locked.late += _contradicted_by(locked, posted)\n",
        "",
        (f"{LATE_REPORTS}::test_what_was_delivered_is_owed_though_a_person_decides_failed",),
    ),
    Mutant(
        "a provider is asked again after a person has decided",
        "src/telvend/fulfilment/settlement.py",
        "        if asking := [locked for locked in locked_orders.values() if locked.late_requeries]:\n",
        "        if asking := []:\n",
        (f"{LATE_REPORTS}::test_a_decision_is_asked_about_again_on_a_schedule_and_nothing_definite_changes_nothing",),
    ),
    Mutant(
        "a reconciliation enters one delivery of an attempt, not two",
        "src/telvend/upstreams/reconciliation/model.py",
        " or told.line is None or told.times > 1:\n",
        " or told.line is None:\n",
        (f"{LATE_REPORTS}::test_a_reconciliation_enters_nothing_that_is_not_certain",),
    ),
    Mutant(
        "a provisional credit by hand waits for a second person",
        "src/telvend/fulfilment/provisional/service.py",
        "                if not lenient:\n                    waiting",
        "                if False:\n                    waiting",
        (
            "tests/store/test_second_person_acts.py::test_each_act_waits_moves_nothing_and_is_done_once_by_another_person",
        ),
    ),
    Mutant(
        "a month whose sales and ledger disagree is not closed",
        "src/telvend/reports/service.py",
        "        if ours != theirs:\n",
        "        if False:\n",
        (f"{REPORTS}::test_a_month_whose_sales_and_ledger_disagree_is_not_closed",),
    ),
    Mutant(
        "a link is used once",
        "src/telvend/people/store.py",
        'where digest = $1 and purpose = $2 and used_at is null and ended_at is null"',
        'where digest = $1 and purpose = $2 and ended_at is null"',
        (PEOPLE,),
    ),
    Mutant(
        "the console does what was confirmed only where the figures are those that were shown",
        "src/telvend/web/console/verbs.py",
        "        if seen != preview.mark:\n",
        "        if not seen:\n",
        (f"{CONSOLE}::test_figures_that_have_changed_are_shown_again",),
    ),
    Mutant(
        "a page of the console opens for the roles of the table only",
        "src/telvend/web/console/frame.py",
        "        if not may(visitor.roles, right):\n",
        "        if False:\n",
        (f"{CONSOLE}::test_every_page_opens_for_the_roles_of_the_table_and_for_nobody_else",),
    ),
    Mutant(
        "an act stands with its change",
        "src/telvend/database/connections.py",
        "                await together.write(connection)\n",
        "                pass\n",
        (TOGETHER,),
    ),
    Mutant(
        "no order that is committed late is left out of the search index",
        "src/telvend/orders/search/store.py",
        "select least(clock_timestamp() - make_interval(secs => $1), min(xact_start)) from",
        "select clock_timestamp() - make_interval(secs => $1) from",
        (ORDER_SEARCH,),
    ),
    Mutant(
        "a file holds no formula of a reseller's",
        "src/telvend/web/console/tables.py",
        """return f"'{text}" if text""",
        """return f"{text}" if text""",
        (f"{CONSOLE}::test_files_hold_no_formulas",),
    ),
    Mutant(
        "a session of the portal does not open the console, nor the other way round",
        "src/telvend/people/store.py",
        "where s.digest = $1 and s.surface = $2 and s.ends_at > $3",
        "where s.digest = $1 and $2::text is not null and s.ends_at > $3",
        (PEOPLE,),
    ),
    Mutant(
        "a suspended reseller's sessions open nothing",
        "src/telvend/people/store.py",
        "then r.id is not null and r.suspended_at is null",
        "then r.id is not null",
        (PEOPLE,),
    ),
    Mutant(
        "a code of a second factor counts once",
        "src/telvend/people/store.py",
        "where id = $1 and totp_step < $2 and totp_confirmed_at",
        "where id = $1 and totp_step <= $2 and totp_confirmed_at",
        (PEOPLE,),
    ),
    Mutant(
        "a wrong purchase PIN is counted before it is looked at",
        "src/telvend/people/store.py",
        "where id = $1 and pin is not null and pin_failures < $2",
        "where id = $1 and pin is not null and pin_failures < $2 + 100",
        (PEOPLE,),
    ),
    Mutant(
        "an unknown login costs what a known one does",
        "src/telvend/people/signing_in.py",
        "for place in range(MOST_SHARING if by_phone else 1):",
        "for place in range(len(candidates)):",
        (PEOPLE,),
    ),
    Mutant(
        "a new password ends all other sessions",
        "src/telvend/people/links.py",
        "        await store.delete_sessions(tx, person.id, but=but)\n",
        "",
        (PEOPLE,),
    ),
    Mutant(
        "an e-mail is sent by one process",
        "src/telvend/people/mail/store.py",
        " for no key update skip locked) due where",
        ") due where",
        (EMAILS,),
    ),
    Mutant(
        "a restored shop is released although a provider is not reconciled",
        "src/telvend/cli/shop.py",
        "        if not force:\n",
        "        if False:\n",
        (
            "tests/store/test_restores.py::test_a_restored_shop_is_released_when_its_provider_was_reconciled_for_every_day",
        ),
    ),
    Mutant(
        "a reconciliation from before a restore answers it",
        "src/telvend/upkeep/restores.py",
        "leftovers_since(max(one.restored_at for one in restores))",
        "leftovers_since(since - _USED_WITHIN)",
        (
            "tests/store/test_restores.py::test_a_restored_shop_is_released_when_its_provider_was_reconciled_for_every_day",
        ),
    ),
    Mutant(
        "a backup goes although one that is kept continues it",
        "src/telvend/upkeep/backup/model.py",
        "            kept.add(parent)\n",
        "            pass\n",
        ("tests/unit/upkeep/backup/test_model.py",),
    ),
    Mutant(
        "a backup is restored past a gap in the log",
        "src/telvend/upkeep/backup/model.py",
        "    while wanted in by_segment:\n",
        "    for wanted in sorted(one for one in by_segment if one >= wanted):\n",
        ("tests/unit/upkeep/backup/test_model.py",),
    ),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="telvend-mutants-") as folder:
        tree = Path(folder)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        tests = tuple(dict.fromkeys(test for mutant in MUTANTS for test in mutant.tests))
        failed, said = run(tree, tests)
        if failed or said is None:
            print(f"The tests do not pass on the source as it is: {failed or 'they did not run'}\n{said or ''}")
            return 1
        width = max(len(mutant.rule) for mutant in MUTANTS)
        print(f"{'taken away'.ljust(width)}   noticed by")
        unnoticed = 0
        for mutant in MUTANTS:
            file = tree / mutant.file
            source = file.read_text()
            if source.count(mutant.before) != 1:
                print(f"{mutant.rule.ljust(width)}   CANNOT BE APPLIED: {mutant.file} has changed")
                unnoticed += 1
                continue
            file.write_text(source.replace(mutant.before, mutant.after))
            failed, _ = run(tree, mutant.tests)
            file.write_text(source)
            unnoticed += not failed
            print(f"{mutant.rule.ljust(width)}   {', '.join(dict.fromkeys(failed)) or 'NOBODY'}", flush=True)
    print(f"{len(MUTANTS) - unnoticed} of {len(MUTANTS)} noticed.")
    return 1 if unnoticed else 0


def run(tree: Path, tests: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The names of the tests that failed, and what pytest said; None where it did not get as far as running them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", *tests],
        cwd=tree,
        # The copy's source goes before the installed one; no bytecode, whose time stamps are too coarse for us.
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    # 0: all passed, 1: some failed; anything else is no verdict.
    return re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE), (
        done.stdout if done.returncode in (0, 1) else None
    )


if __name__ == "__main__":
    sys.exit(main())
