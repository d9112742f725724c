#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""orders.sum: adds up the amounts of a JSON payload, telling how far it is.

Descriptor 3 takes one JSON object a line: {"progress": any}, {"log": text}, {"heartbeat": true}, and {"outcome": word, ...} to end
otherwise than the exit code says. Here an exchange that answers "too many requests" gives the job back for a moment without
spending one of its attempts, and an order without an amount is final, because trying again cannot mend it.
"""
import json
import os
import sys

EX_DATAERR = 65  # between 64 and 78, and not 75: no further attempts


def tell(**line):
    os.write(3, (json.dumps(line) + "\n").encode())


def is_first_run():
    """The run id is <job id>.<start>. A start that was given back is counted there, but not in DUREQ_ATTEMPT."""
    return os.environ["DUREQ_RUN_ID"].endswith(".1")


def main():
    orders = json.load(sys.stdin)
    if is_first_run():  # a real handler would learn from the exchange that it asked too often
        tell(outcome="rate_limited", after="300ms", error="the exchange asks for a pause")
        return 0

    total = 0
    for i, order in enumerate(orders):
        if "amount" not in order:
            print(f"order {i} has no amount", file=sys.stderr)
            return EX_DATAERR
        total += order["amount"]
        tell(progress={"done": i + 1, "of": len(orders)})
    json.dump({"total": total}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
