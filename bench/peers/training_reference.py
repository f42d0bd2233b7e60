"""Losses of short trainings by PyTorch, from the weights and batches of training-reference.ts.

    python training_reference.py FOLDER OUT.json
"""
import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        # Flattened with the channels last, as tersor does.
        x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Unit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(self.conv(x))


class ResNet8(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Unit(3, 16, 1)
        self.blocks = nn.ModuleList()
        inputs = 16
        for i, outputs in enumerate([16, 32, 64]):
            stride = 1 if i == 0 else 2
            block = nn.ModuleDict({"conv1": Unit(inputs, outputs, stride), "conv2": Unit(outputs, outputs, 1)})
            if i > 0:
                block["short"] = nn.Conv2d(inputs, outputs, 1, stride)
            self.blocks.append(block)
            inputs = outputs
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for b in self.blocks:
            short = b["short"](x) if "short" in b else x
            x = F.relu(b["conv2"](F.relu(b["conv1"](x))) + short)
        return self.head(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x):
        active = F.relu(self.norm1(x))
        h = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return (x if self.short is None else self.short(active)) + h


class Wrn101(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.groups = nn.ModuleList([WideBlock(16, 16, 1), WideBlock(16, 32, 2), WideBlock(32, 64, 2)])
        self.norm = nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.stem(x)
        for g in self.groups:
            x = g(x)
        return self.head(F.relu(self.norm(x)).mean((2, 3)))


MODELS = {"lenet5": LeNet5, "resnet8": ResNet8, "wrn-10-1": Wrn101}


def torch_name(model, name):
    """Our name of a parameter as PyTorch's."""
    name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
    if model == "resnet8":
        for i in (1, 2, 3):
            name = name.replace(f"block{i}.", f"blocks.{i - 1}.")
        parts = name.split(".")
        if parts[-1] == "weight" and parts[-2] in ("stem", "conv1", "conv2"):
            name = name.replace(".weight", ".conv.weight")
    if model == "wrn-10-1":
        for i in (1, 2, 3):
            name = name.replace(f"group{i}.block1.", f"groups.{i - 1}.")
    return name


def losses(case, settings):
    model = MODELS[case["name"]]()
    own = dict(model.named_parameters())
    for p in case["parameters"]:
        value = torch.tensor(p["values"]).reshape(p["shape"])
        if value.dim() == 4:
            value = value.permute(0, 3, 1, 2)
        target = own.pop(torch_name(case["name"], p["name"]))
        assert target.shape == value.shape, (p["name"], target.shape, value.shape)
        with torch.no_grad():
            target.copy_(value)
    assert not own, own.keys()
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), settings["rate"], settings["momentum"], weight_decay=settings["decay"]
    )
    batches = [
        (torch.tensor(b["image"]).reshape(case["shape"]).permute(0, 3, 1, 2).contiguous(), torch.tensor(b["labels"]))
        for b in case["batches"]
    ]
    out = []
    for step in range(settings["steps"]):
        image, labels = batches[step % len(batches)]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(image), labels)
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


def main():
    folder, out = sys.argv[1:]
    with open(f"{folder}/cases.json") as f:
        settings = json.load(f)
    result = {c["name"]: losses(c, settings) for c in settings["cases"]}
    with open(out, "w") as f:
        json.dump({"torch": torch.__version__, "losses": result}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
