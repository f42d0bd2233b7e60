"""Runs TensorFlow Lite models with LiteRT and writes their outputs: the oracle of our arithmetic.

  python tflite_reference.py JOBS [--resolver builtin|ref|xnnpack]

JOBS is a text file; each line names a model, a file of inputs and a file for the outputs, separated by
tabs. Inputs and outputs are raw little-endian values, one sample after the other, in the order and types
of the model's inputs and outputs. A model that LiteRT refuses gets no output file; the reason is printed.
Needs the packages ai-edge-litert and numpy.
"""

import argparse

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

RESOLVERS = {
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "ref": OpResolverType.BUILTIN_REF,
    "xnnpack": OpResolverType.BUILTIN,
}


def run(model, inputs, outputs, resolver):
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    data = open(inputs, "rb").read()
    sizes = [int(np.prod(d["shape"])) * np.dtype(d["dtype"]).itemsize for d in details]
    samples = max(1, len(data) // max(1, sum(sizes)))
    if len(data) != samples * sum(sizes):
        raise ValueError(f"{len(data)} bytes of inputs are not a multiple of {sum(sizes)}")
    with open(outputs, "wb") as out:
        at = 0
        for _ in range(samples):
            interpreter.reset_all_variables()
            for d, size in zip(details, sizes):
                values = np.frombuffer(data[at : at + size], d["dtype"]).reshape(d["shape"])
                interpreter.set_tensor(d["index"], values)
                at += size
            interpreter.invoke()
            for d in interpreter.get_output_details():
                out.write(interpreter.get_tensor(d["index"]).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("jobs")
    parser.add_argument("--resolver", choices=RESOLVERS, default="builtin")
    args = parser.parse_args()
    for line in open(args.jobs, encoding="utf-8").read().splitlines():
        model, inputs, outputs = line.split("\t")
        try:
            run(model, inputs, outputs, RESOLVERS[args.resolver])
        except (RuntimeError, ValueError) as error:
            print(f"{model}: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
