"""Times PyTorch's training step of ResNet-8, for bench/training.ts: a line "THREADS STEPS" on the standard input is
answered by the median milliseconds of a step. The first line of output is the version.

    python training_speed.py BATCH
"""
import sys
import time

import torch
import torch.nn.functional as F
from training_reference import ResNet8


def stepper(batch, memory_format):
    model = ResNet8().to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    image = torch.randn(batch, 3, 32, 32).to(memory_format=memory_format)
    labels = torch.randint(0, 10, (batch,))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(image), labels).backward()
        optimizer.step()

    return step


def median_ms(step, steps):
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def main():
    batch = int(sys.argv[1])
    steps = [stepper(batch, f) for f in (torch.contiguous_format, torch.channels_last)]
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        threads, count = map(int, line.split())
        torch.set_num_threads(threads)
        # The better of both layouts.
        print(min(median_ms(s, count) for s in steps), flush=True)


if __name__ == "__main__":
    main()
