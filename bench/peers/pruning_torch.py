"""Prunes the ResNet-8 of bench/experiments by Torch-Pruning and trains it on, as `tersor prune` does by the command in
pruning-data.ts: the same weights, pixels, batch size, rates and number of epochs. Prints JSON lines.

    pip install torch torch-pruning onnx numpy
    python pruning_torch.py MODEL.onnx FOLDER [--macs 0.5] [--epochs 4] [--rate 0.05] [--seeds 1,2,3]

FOLDER: what pruning-data.ts wrote.
"""
import argparse
import copy
import importlib.metadata
import json
import math
import os
import time

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F
import torch_pruning as tp
from training_reference import ResNet8

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2023, 0.1994, 0.201]).view(1, 3, 1, 1)
BATCH, SHIFT, DECAY, CLASSES = 128, 4, 5e-4, 10


def pictures(folder, name):
    pixels = np.fromfile(os.path.join(folder, f"{name}-pixels.bin"), np.uint8).reshape(-1, 32, 32, 3)
    labels = np.fromfile(os.path.join(folder, f"{name}-labels.bin"), np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(labels.astype(np.int64))


def normalised(x):
    return (x.float() / 255 - MEAN) / STD


def augmented(x, generator):
    """Shifts over a border of zeros, and mirrors: pictures of one batch each their own way."""
    n = x.shape[0]
    padded = F.pad(normalised(x), [SHIFT] * 4)
    ys, xs = (torch.randint(0, 2 * SHIFT + 1, (n,), generator=generator) for _ in range(2))
    mirror = torch.rand(n, generator=generator) < 0.5
    cut = [padded[i, :, y : y + 32, c : c + 32] for i, (y, c) in enumerate(zip(ys.tolist(), xs.tolist()))]
    return torch.where(mirror.view(-1, 1, 1, 1), torch.stack(cut).flip(3), torch.stack(cut))


def loaded(path):
    """The trained weights, by the names that tersor exports."""
    found = {i.name: torch.tensor(onnx.numpy_helper.to_array(i)) for i in onnx.load(path).graph.initializer}
    model = ResNet8()

    def unit(module, name):
        module.conv.weight.data = found[f"{name}.weight"]
        for field, key in [("weight", "gamma"), ("bias", "beta")]:
            getattr(module.norm, field).data = found[f"{name}.norm.{key}"]
        module.norm.running_mean.copy_(found[f"{name}.norm.mean"])
        module.norm.running_var.copy_(found[f"{name}.norm.variance"])

    unit(model.stem, "stem")
    for i, block in enumerate(model.blocks):
        for part in ["conv1", "conv2"]:
            unit(block[part], f"block{i + 1}.{part}")
        if "short" in block:
            block["short"].weight.data = found[f"block{i + 1}.short.weight"]
            block["short"].bias.data = found[f"block{i + 1}.short.bias"]
    model.head.weight.data, model.head.bias.data = found["head.weight"], found["head.bias"]
    return model


@torch.no_grad()
def accuracy(model, images, labels):
    model.eval()
    parts = [model(normalised(images[i : i + 500])).argmax(1) for i in range(0, len(images), 500)]
    return 100 * (torch.cat(parts) == labels).float().mean().item()


def pruned(model, share):
    """The smallest pruning ratio, in steps of 1 %, after which at most `share` of the MACs is left."""
    example = torch.randn(1, 3, 32, 32)
    before, _ = tp.utils.count_ops_and_params(model, example)
    for percent in range(1, 100):
        candidate = copy.deepcopy(model)
        pruner = tp.pruner.MetaPruner(
            candidate,
            example,
            importance=tp.importance.GroupMagnitudeImportance(p=1),
            global_pruning=True,
            pruning_ratio=percent / 100,
            max_pruning_ratio=1.0,
            round_to=4,
            ignored_layers=[candidate.head],
        )
        pruner.step()
        after, _ = tp.utils.count_ops_and_params(candidate, example)
        if after <= share * before:
            return candidate, after / before
    raise SystemExit("the share cannot be reached")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seeds", default="1,2,3")
    args = parser.parse_args()
    images, labels = pictures(args.folder, "train")
    test = pictures(args.folder, "test")
    print(json.dumps({"torch": torch.__version__, "torch_pruning": importlib.metadata.version("torch-pruning"), **vars(args),
                      "model": os.path.basename(args.model), "folder": None,
                      "accuracy": round(accuracy(loaded(args.model), *test), 2)}), flush=True)
    per_epoch = len(images) // BATCH
    steps = args.epochs * per_epoch
    for seed in map(int, args.seeds.split(",")):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model, share = pruned(loaded(args.model), args.macs)
        before = accuracy(model, *test)
        decayed = [p for p in model.parameters() if p.dim() > 1]
        plain = [p for p in model.parameters() if p.dim() == 1]
        groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0}]
        optimizer = torch.optim.SGD(groups, args.rate, 0.9, nesterov=True)
        begun = time.time()
        step = 0
        for _ in range(args.epochs):
            model.train()
            order = torch.randperm(len(images), generator=generator)
            for b in range(per_epoch):
                rows = order[b * BATCH : (b + 1) * BATCH]
                for group in optimizer.param_groups:
                    group["lr"] = args.rate * 0.5 * (1 + math.cos(math.pi * step / steps))
                optimizer.zero_grad()
                F.cross_entropy(model(augmented(images[rows], generator)), labels[rows]).backward()
                optimizer.step()
                step += 1
        print(json.dumps({"seed": seed, "macs": round(share, 3), "beforeTraining": round(before, 2),
                          "accuracy": round(accuracy(model, *test), 2),
                          "seconds": round(time.time() - begun, 1)}), flush=True)


if __name__ == "__main__":
    main()
