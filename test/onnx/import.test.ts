import assert from "node:assert/strict";
import { test } from "node:test";
import { ImportError, importOnnx, type OnnxImportOptions } from "../../src/formats/onnx/import.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { type Tensor, tensorOf, toNumbers } from "../../src/tensor/tensor.ts";
import { graphOf, type ModelSpec, modelOf, node, value } from "./model.ts";

const f32 = (shape: readonly number[], ...values: number[]): Tensor =>
  tensorOf("f32", shape, values);
const i64 = (...values: number[]): Tensor => tensorOf("i64", [values.length], values);

function run(spec: ModelSpec, feeds: readonly Tensor[], options: OnnxImportOptions = {}) {
  const { graph, diagnostics } = importOnnx(modelOf(spec), options);
  const results = interpret(graph, feeds).map(toNumbers);
  return { graph, diagnostics, results, ops: graph.nodes.map((n) => n.op.name) };
}

test("an open leading dimension is 1 and noted; a given shape binds its name everywhere", () => {
  const spec: ModelSpec = {
    nodes: [node("Add", ["a", "b"], ["y"])],
    inputs: [value("a", "f32", ["n", 2]), value("b", "f32", ["n", 2])],
    outputs: ["y"],
  };
  const { diagnostics } = run(spec, [f32([1, 2], 1, 2), f32([1, 2], 3, 4)]);
  assert.equal(diagnostics.length, 1);
  assert.match(diagnostics[0]!.message, /dimension 0 \(n\)/);
  const bound = importOnnx(modelOf(spec), { shapes: { a: [3, 2] } }).graph;
  assert.deepEqual([...bound.values.get(bound.inputs[1]!)!.type.shape], [3, 2]);
});

test("other open dimensions are refused with the option to add", () => {
  const spec: ModelSpec = {
    nodes: [node("Relu", ["x"], ["y"])],
    inputs: [value("x", "f32", ["n", 3, "h", "w"])],
    outputs: ["y"],
  };
  assert.throws(() => importOnnx(modelOf(spec)), {
    code: "E_SHAPE",
    message: /--shape x=1,3,224,224/,
  });
  assert.throws(() => importOnnx(modelOf(spec), { shapes: { x: [1, 4, 2, 2] } }), {
    code: "E_SHAPE",
  });
});

test("shape arithmetic folds away", () => {
  const spec: ModelSpec = {
    nodes: [
      node("Shape", ["x"], ["s"]),
      node("Gather", ["s", "zero"], ["n"], { axis: 0 }),
      node("Concat", ["n", "rest"], ["shape"], { axis: 0 }),
      node("Reshape", ["x", "shape"], ["y"]),
    ],
    inputs: [value("x", "f32", [2, 3, 2])],
    outputs: ["y"],
    constants: { zero: i64(0), rest: i64(-1) },
  };
  const { ops, graph } = run(spec, [f32([2, 3, 2], ...new Array<number>(12).fill(1))]);
  assert.deepEqual(ops, ["reshape"]);
  assert.deepEqual([...graph.values.get(graph.outputs[0]!)!.type.shape], [2, 6]);
});

test("everything unsupported is reported at once, with inputs to freeze", () => {
  const spec: ModelSpec = {
    nodes: [
      node("Strange", ["x"], ["a"]),
      node("Strange", ["a"], ["b"]),
      node("Other", ["x"], ["c"], {}, "local"),
      node("Reshape", ["x", "s"], ["d"]),
    ],
    inputs: [value("x", "f32", [2]), value("s", "i64", [1])],
    outputs: ["b", "c", "d"],
  };
  assert.throws(
    () => importOnnx(modelOf(spec)),
    (error: unknown) => {
      assert.ok(error instanceof ImportError);
      assert.match(error.message, /Strange is not supported \(2 nodes: 'a', 'b'\)/);
      assert.match(error.message, /local\.Other is not supported/);
      assert.match(error.message, /depends on the model input 's'/);
      assert.deepEqual(error.freeze, ["s"]);
      return true;
    },
  );
});

test("a frozen input is a constant of the input's type", () => {
  const spec: ModelSpec = {
    nodes: [node("Reshape", ["x", "s"], ["y"])],
    inputs: [value("x", "f32", [4]), value("s", "i64", [2])],
    outputs: ["y"],
  };
  const fix = { s: tensorOf("i32", [2], [2, 2]) };
  const { graph } = run(spec, [f32([4], 1, 2, 3, 4)], { fix });
  assert.equal(graph.inputs.length, 1);
  assert.throws(() => importOnnx(modelOf(spec), { fix: { t: fix.s } }), { code: "E_ARGUMENT" });
});

const branch = (op: string) => ({
  graph: graphOf({ nodes: [node(op, ["x"], ["r"])], inputs: [], outputs: ["r"] }),
});

test("If takes the known branch, and selects when the condition is computed", () => {
  const nodes = [
    node("If", ["c"], ["y"], { then_branch: branch("Neg"), else_branch: branch("Relu") }),
  ];
  const x = value("x", "f32", [2]);
  const known = { nodes, inputs: [x], outputs: ["y"], constants: { c: tensorOf("bool", [], [1]) } };
  const taken = run(known, [f32([2], -1, 2)]);
  assert.deepEqual(taken.results, [[1, -2]]);
  assert.deepEqual(taken.ops, ["neg"]);
  const open = { nodes, inputs: [x, value("c", "bool", [])], outputs: ["y"] };
  assert.deepEqual(run(open, [f32([2], -1, 2), tensorOf("bool", [], [0])]).results, [[0, 2]]);
});

test("a loop is unrolled; its stacked results keep their order", () => {
  const body = graphOf({
    nodes: [
      node("Add", ["state", "x"], ["next"]),
      node("Identity", ["go"], ["again"]),
      node("Identity", ["next"], ["out"]),
    ],
    inputs: [value("i", "i64", []), value("go", "bool", []), value("state", "f32", [2])],
    outputs: ["again", "next", "out"],
  });
  const spec: ModelSpec = {
    nodes: [node("Loop", ["m", "", "x"], ["last", "all"], { body: { graph: body } })],
    inputs: [value("x", "f32", [2])],
    outputs: ["last", "all"],
    constants: { m: tensorOf("i64", [], [3]) },
  };
  const { results } = run(spec, [f32([2], 1, 2)]);
  assert.deepEqual(results, [
    [4, 8],
    [2, 4, 3, 6, 4, 8],
  ]);
  const endless = { ...spec, constants: { m: tensorOf("i64", [], [1e9]) } };
  assert.throws(() => importOnnx(modelOf(endless)), { code: "E_LIMIT" });
});

test("functions are inlined with their attributes", () => {
  const spec: ModelSpec = {
    nodes: [node("Leaky", ["x"], ["y"], { slope: { float: 0.5 } }, "local")],
    inputs: [value("x", "f32", [2])],
    outputs: ["y"],
    functions: [
      {
        name: "Leaky",
        domain: "local",
        input: ["a"],
        output: ["b"],
        attribute: ["slope"],
        node: [node("LeakyRelu", ["a"], ["b"], { alpha: { ref: "slope" } })],
        opsetImport: [{ domain: "", version: 21 }],
      },
    ],
  };
  assert.deepEqual(run(spec, [f32([2], -2, 4)]).results, [[-1, 4]]);
});

test("a function that calls itself is refused", () => {
  const spec: ModelSpec = {
    nodes: [node("Again", ["x"], ["y"], {}, "local")],
    inputs: [value("x", "f32", [2])],
    outputs: ["y"],
    functions: [
      {
        name: "Again",
        domain: "local",
        input: ["a"],
        output: ["b"],
        node: [node("Again", ["a"], ["b"], {}, "local")],
        opsetImport: [{ domain: "local", version: 1 }],
      },
    ],
  };
  assert.throws(() => importOnnx(modelOf(spec)), { code: "E_LIMIT" });
});

test("weights quantised per channel stay integers behind dequantize", () => {
  const spec: ModelSpec = {
    nodes: [
      node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
      node("DequantizeLinear", ["q", "sx", "zx"], ["r"]),
      node("DequantizeLinear", ["w", "sw", "zw"], ["v"], { axis: 1 }),
      node("MatMul", ["r", "v"], ["y"]),
    ],
    inputs: [value("x", "f32", [1, 2])],
    outputs: ["y"],
    constants: {
      sx: tensorOf("f32", [], [0.5]),
      zx: tensorOf("u8", [], [10]),
      w: tensorOf("i8", [2, 2], [1, 2, 3, 4]),
      sw: f32([2], 1, 0.25),
      zw: tensorOf("i8", [2], [0, 0]),
    },
  };
  const { results, ops, graph } = run(spec, [f32([1, 2], 1, 2)]);
  assert.deepEqual(results, [[7, 2.5]]);
  assert.deepEqual([...ops].sort(), ["dequantize", "dequantize", "linear", "quantize"]);
  const weights = [...graph.constants.values()].find((t) => t.type.quant !== undefined);
  assert.deepEqual(toNumbers(weights!), [1, 3, 2, 4]);
  assert.equal(weights!.type.quant!.axis, 0);
});

test("an integer operator sees a quantised value's integers", () => {
  const spec: ModelSpec = {
    nodes: [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("Mul", ["q", "q"], ["y"])],
    inputs: [value("x", "f32", [2])],
    outputs: ["y"],
    constants: { s: tensorOf("f32", [], [1]), z: tensorOf("u8", [], [1]) },
  };
  assert.deepEqual(run(spec, [f32([2], 1, 2)]).results, [[4, 9]]);
});
