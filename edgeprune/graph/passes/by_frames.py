"""A network over sequences becomes one that takes a frame at a time and keeps what later frames need.

Every tensor that has one position for each frame gets one position. A window over k frames reads the last ones from a
Ring, a recurrent layer goes one step from where it was, and what works within a frame works on that. With states of
zeros before the first frame, run t gives, byte for byte, what the network gives at frame t of a sequence: where windows
look back alone, which zeros before the sequence (padding on the left) or results that are thrown away (padding on both
sides, the end then cut off) make so. Work on a frame is done once.

What cannot run so is refused with the first node in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Attributes, AttributeValue, Frames, Graph, Node, Quant, State, Tensor
from edgeprune.graph.passes.frame_times import (
    TAKEN,
    Moved,
    NotByFrames,
    Timed,
    one_frame,
    padded,
    sliced,
    with_at,
    within_frame,
)
from edgeprune.ops._recurrent import Recurrent
from edgeprune.ops.base import operator_for

__all__ = ["run"]

_WINDOWED = ("Conv", "MaxPool", "AveragePool")
_LEAST_HIDDEN_SCALE = 2.0**-15
"""Of a hidden vector that is kept as int8: 2 units of Q16, so that reading it back gives the stored value."""


def run(graph: Graph) -> Graph:
    """`graph` frame by frame, along the one axis of its input along which that is possible.

    Raises:
        UsageError: there is none; the sentence names the node where the most promising axis fails.
    """
    if len(graph.inputs) != 1:
        raise UsageError(
            f"the network {graph.name!r} has {len(graph.inputs)} inputs: --frames needs one, the sequence"
        )
    given = graph.inputs[0]
    furthest, reason = -1, f"the input of {graph.name!r} has one frame, and --frames needs a sequence"
    for axis in range(len(given.shape)):
        if given.shape[axis] < 2 or _model_axis(graph, given, axis) == 0:
            continue
        walk = _ByFrames(graph, axis)
        refusal = walk.refusal()
        if refusal is None and walk.states:
            return walk.result()
        idle = f"no layer of {graph.name!r} looks back at earlier frames: leave out --frames"
        place, sentence = refusal or (len(graph.nodes) + 1, idle)
        if place > furthest:
            furthest, reason = place, sentence
    raise UsageError(reason)


def _model_axis(graph: Graph, tensor: Tensor, axis: int) -> int:
    return graph.layouts.get(tensor.name, range(len(tensor.shape)))[axis]


class _ByFrames:
    """One walk along `axis` of the input: `frame` maps tensors to what a run has of them."""

    def __init__(self, graph: Graph, axis: int) -> None:
        given = graph.inputs[0]
        self.graph, self.steps = graph, given.shape[axis]
        self.axis = _model_axis(graph, given, axis)
        self.build = Builder({tensor.name for tensor in graph.tensors()})
        self.times = {given.name: Timed(axis)}
        self.frame = {given.name: one_frame(given, axis)}
        self.latest: set[str] = set()
        """Tensors that hold what the newest frame gave, and have no axis for frames."""
        self.states: list[State] = []
        self.rings: dict[tuple[str, tuple[int, ...], int], Tensor] = {}
        self.viewed: dict[str, str] = {}
        """Of frames under another shape, the tensor whose bytes they are."""

    def refusal(self) -> tuple[int, str] | None:
        """How many nodes can run by frames before the first that cannot, and why; None where all can."""
        for number, node in enumerate(self.graph.nodes):
            try:
                self._node(node)
            except NotByFrames as error:
                reason = (
                    f"--frames cannot run {operator_for(node).title(node)} node {node.name!r} frame by frame"
                )
                return number, f"{reason} along axis {self.axis} of the input: it {error}"
        for tensor in self.graph.outputs:
            time = self.times.get(tensor.name)
            if time is not None and (time.begin < 0 or time.begin + tensor.shape[time.axis] != self.steps):
                fault = "begins before its input" if time.begin < 0 else "looks ahead"
                sentence = (
                    f"output {tensor.name!r} of {self.graph.name!r} {fault} along axis {self.axis}, "
                    "which --frames cannot"
                )
                return len(self.graph.nodes), sentence
        return None

    def result(self) -> Graph:
        """The graph of one frame."""
        graph = self.graph
        ends = {
            tensor.name: (_model_axis(graph, tensor, time.axis), time.begin)
            for tensor in (*graph.inputs, *graph.outputs)
            if (time := self.times.get(tensor.name)) is not None
        }
        outputs = tuple(self._named(tensor) for tensor in graph.outputs)
        return replace(
            graph,
            nodes=tuple(self.build.nodes),
            inputs=tuple(self.frame[tensor.name] for tensor in graph.inputs),
            outputs=outputs,
            states=tuple(self.states),
            frames=Frames(
                self.steps,
                {name: axis for name, (axis, _) in ends.items()},
                {name: begin for name, (_, begin) in ends.items() if begin},
            ),
        )

    def _named(self, tensor: Tensor) -> Tensor:
        """What a run has of an output, under the output's name, which layouts and ports go by."""
        found = self.frame.get(tensor.name, tensor)
        if found.name == tensor.name:
            return found
        named = replace(found, name=tensor.name)
        attrs: dict[str, AttributeValue] = {"shape": named.shape}
        self.build.add("Reshape", named.name, [found], [named], attrs)
        return named

    def _node(self, node: Node) -> None:
        timed = [tensor for tensor in node.inputs if tensor.name in self.times]
        if any(tensor.name in self.latest for tensor in node.inputs):
            if timed:
                raise NotByFrames("takes frames together with what a whole sequence gave")
            self.latest.update(tensor.name for tensor in node.outputs)
        if not timed:
            inputs = [self.frame.get(tensor.name, tensor) for tensor in node.inputs]
            self.build.add(node.op, node.name, inputs, node.outputs, node.attrs)
        elif isinstance(operator_for(node), Recurrent):
            self._recurrent(node)
        elif node.op in _WINDOWED:
            self._window(node)
        elif node.op == "Slice":
            self._moved(node, sliced(node, self.times[node.inputs[0].name], self.steps))
        elif node.op == "Pad":
            self._moved(node, padded(node, self.times[node.inputs[0].name]))
        else:
            time, attrs = within_frame(node, self.times)
            self._add(node, time, attrs)

    def _add(self, node: Node, time: Timed, attrs: Attributes) -> None:
        inputs = [self.frame.get(tensor.name, tensor) for tensor in node.inputs]
        result = one_frame(node.output, time.axis)
        self.build.add(node.op, node.name, inputs, [result], attrs)
        if node.op == "Reshape":
            self.viewed[result.name] = self.viewed.get(inputs[0].name, inputs[0].name)
        self._keep(node.output, result, time)

    def _keep(self, tensor: Tensor, frame: Tensor, time: Timed) -> None:
        self.times[tensor.name], self.frame[tensor.name] = time, frame

    def _moved(self, node: Node, moved: Moved) -> None:
        """A Slice or a Pad: along the axis of frames it changes which frames there are, and no frame."""
        y, axis, frame = node.output, self.times[node.inputs[0].name].axis, self.frame[node.inputs[0].name]
        result = frame
        if moved.attrs is not None:
            result = one_frame(y, axis)
            self.build.add(node.op, node.name, [frame], [result], moved.attrs)
        if moved.latest:
            self.latest.add(y.name)
            self.frame[y.name] = result
        else:
            self._keep(y, result, Timed(axis, moved.begin))

    def _window(self, node: Node) -> None:
        x = node.inputs[0]
        time = self.times[x.name]
        side = time.axis - 1
        if side not in (0, 1):
            raise NotByFrames("mixes frames")
        kernel = node.inputs[1].shape[time.axis] if node.op == "Conv" else node.ints("kernel")[side]
        dilation, pads = node.ints("dilations")[side], node.ints("pads")
        left = pads[side]
        if node.ints("strides")[side] != 1:
            raise NotByFrames("leaves out frames (its stride is not 1)")
        if left and node.op != "Conv":
            raise NotByFrames("pads the sequence with other things than zeros")
        if left and time.begin > 0:
            raise NotByFrames(TAKEN)
        begin = time.begin - left + (kernel - 1) * dilation
        if begin < 0:
            raise NotByFrames("pads the sequence by more than its window looks back")
        attrs = {
            **node.attrs,
            "pads": with_at(with_at(pads, side, 0), side + 2, 0),
            "dilations": with_at(node.ints("dilations"), side, 1),
        }
        if "overhang" in attrs:
            attrs["overhang"] = with_at(node.ints("overhang"), side, 0)
        frame = self.frame[x.name]
        window = frame if kernel == 1 else self._ring(node.name, frame, time.axis, kernel, dilation)
        result = one_frame(node.output, time.axis)
        self.build.add(node.op, node.name, [window, *node.inputs[1:]], [result], attrs)
        self._keep(node.output, result, Timed(time.axis, begin))

    def _ring(self, name: str, frame: Tensor, axis: int, kernel: int, dilation: int) -> Tensor:
        """The window of `kernel` frames that ends with `frame`; one for all that read the same."""
        shape = (*frame.shape[:axis], kernel, *frame.shape[axis + 1 :])
        key = (self.viewed.get(frame.name, frame.name), shape, dilation)
        if key not in self.rings:
            window = self.build.tensor(f"{name}.window", shape, frame.dtype, frame.quant)
            slots = ((kernel - 1) * dilation, *frame.shape)
            ring = self._state(f"{name}.frames", slots, frame.dtype, frame.quant)
            place = self._state(f"{name}.place", (1,), "int32", None)
            self.build.add(
                "Ring",
                f"{name}.window",
                [frame, ring.before, place.before],
                [window, ring.after, place.after],
                {"axis": axis, "kernel": kernel, "dilation": dilation},
            )
            self.rings[key] = window
        return self.rings[key]

    def _state(self, name: str, shape: Sequence[int], dtype: str, quant: Quant | None) -> State:
        before, after = (
            self.build.tensor(f"{name}.{end}", tuple(shape), dtype, quant) for end in ("before", "after")
        )
        self.states.append(State(before, after))
        return self.states[-1]

    def _recurrent(self, node: Node) -> None:
        """One step of a layer: the state in 32 bits is kept as it is, and the hidden vector as its products read it."""
        operator = operator_for(node)
        assert isinstance(operator, Recurrent)
        x, time = node.inputs[0], self.times[node.inputs[0].name]
        if time.begin or x.name not in self.times or time.axis != 0 or x.shape[0] != self.steps:
            raise NotByFrames("does not go through the sequence from its first frame on")
        if any(node.ints("reverse")):
            raise NotByFrames("goes through the sequence from its end")
        if len(node.inputs) > 4:
            raise NotByFrames("starts from other states than zeros")
        y, y_h, y_c = operator.emitted(node)
        quant = operator.hidden_quant(node)
        if y_c is not None or (y_h is not None and y_h.quant != quant):
            raise NotByFrames("gives a state that cannot be had at each frame")
        if quant.scale[0] < _LEAST_HIDDEN_SCALE:
            raise NotByFrames("has a hidden vector of numbers that are too small to be kept")
        shape = (1, x.shape[1], node.int("hidden"))
        result = (
            self.build.tensor(f"{node.name}.frame", (1, *shape), "int8", quant)
            if y is None
            else one_frame(y, 0)
        )
        states = [
            self._state(f"{node.name}.{part}", shape, dtype, own)
            for part, (dtype, own) in zip(("hidden", "cell"), operator.step_states(node), strict=False)
        ]
        self.build.add(
            node.op,
            node.name,
            [self.frame[x.name], *node.inputs[1:], *(state.before for state in states)],
            [result, *(state.after for state in states)],
            {**node.attrs, "initial": (1,) * len(states), "emits": (1,) * (len(states) + 1)},
        )
        if y is not None:
            self._keep(y, result, Timed(0))
        if y_h is not None:
            last = self.build.reshape(result, y_h.shape)
            self.frame[y_h.name] = last
            self.latest.add(y_h.name)
