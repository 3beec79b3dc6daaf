"""Assign tasks to creates so that no two tasks share one, and find out what other assignments are possible. Pure.

Tasks and creates are numbers here, and only one fact counts: which creates a task fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

_NO_TASK = -1  # a node of the graph of exchanges: the place of no task


def assign(fitting: Sequence[Sequence[int]]) -> list[int] | None:
    """Assign each task to a create that it fits; return None where not all tasks can have one each.

    A task whose creates are all taken may move a task of one of them to another create, and so on: a maximum bipartite
    matching by augmenting paths, each found breadth first.

    Args:
        fitting: For each task the creates that it fits, those that it should rather have first.
    """
    owners: dict[int, int] = {}  # the task of each create
    places: dict[int, int] = {}  # the create of each task
    for task in range(len(fitting)):
        movers: dict[int, int] = {}  # for each create that was reached, the task that would move there
        free: int | None = None
        waiting = deque([task])
        while waiting and free is None:
            moving = waiting.popleft()
            for create in fitting[moving]:
                if create in movers:
                    continue
                movers[create] = moving
                if create not in owners:
                    free = create
                    break
                waiting.append(owners[create])
        if free is None:
            return None
        while free is not None:
            moving = movers[free]
            owners[free], places[moving], free = moving, free, places.get(moving)
    return [places[task] for task in range(len(fitting))]


def find_alternatives(
    fitting: Sequence[Sequence[int]], assigned: Sequence[int], creates: Iterable[int]
) -> list[list[int]]:
    """Return for each task all creates that it has in some assignment of all tasks; `assigned` is one of these.

    Tasks can be exchanged along the cycles of a graph in which each create points to those that its task could move to.
    A create without a task ends a chain of moves, and any create may begin one.
    """
    exchanges: dict[int, Sequence[int]] = {create: [_NO_TASK] for create in creates}
    exchanges |= {create: fitting[task] for task, create in enumerate(assigned)}
    cycles = _strong_components(exchanges | {_NO_TASK: list(exchanges)})
    return [
        [create for create in some if cycles[create] == cycles[own]]
        for some, own in zip(fitting, assigned, strict=True)
    ]


def _strong_components(edges: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Return for each node of a graph a number that it shares with the nodes on common cycles (Kosaraju)."""
    backwards: dict[int, list[int]] = {node: [] for node in edges}
    for node, following in edges.items():
        for other in following:
            backwards[other].append(node)
    components: dict[int, int] = {}
    for root in reversed(_finish_order(edges)):
        reached = [root]
        while reached:
            node = reached.pop()
            if node not in components:
                components[node] = root
                reached += backwards[node]
    return components


def _finish_order(edges: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the nodes in the order in which a depth-first search leaves them."""
    order: list[int] = []
    seen: set[int] = set()
    for root in edges:
        path = [] if root in seen else [(root, iter(edges[root]))]
        seen.add(root)
        while path:
            node, rest = path[-1]
            following = next((other for other in rest if other not in seen), None)
            if following is None:
                order.append(node)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(edges[following])))
    return order
