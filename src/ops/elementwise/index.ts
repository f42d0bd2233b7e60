/** @file The element-wise operators by name. */
import type { Op } from "../../graph/op.ts";
import { abs } from "./abs.ts";
import { acos } from "./acos.ts";
import { acosh } from "./acosh.ts";
import { add } from "./add.ts";
import { and } from "./and.ts";
import { asin } from "./asin.ts";
import { asinh } from "./asinh.ts";
import { atan } from "./atan.ts";
import { atan2 } from "./atan2.ts";
import { atanh } from "./atanh.ts";
import { bitwiseAnd } from "./bitwise-and.ts";
import { bitwiseNot } from "./bitwise-not.ts";
import { bitwiseOr } from "./bitwise-or.ts";
import { bitwiseXor } from "./bitwise-xor.ts";
import { cast } from "./cast.ts";
import { ceil } from "./ceil.ts";
import { celu } from "./celu.ts";
import { clip } from "./clip.ts";
import { cos } from "./cos.ts";
import { cosh } from "./cosh.ts";
import { div } from "./div.ts";
import { elu } from "./elu.ts";
import { equal } from "./equal.ts";
import { erf } from "./erf.ts";
import { exp } from "./exp.ts";
import { floor } from "./floor.ts";
import { floorDiv } from "./floor-div.ts";
import { gelu } from "./gelu.ts";
import { greater } from "./greater.ts";
import { greaterEqual } from "./greater-equal.ts";
import { hardSigmoid } from "./hard-sigmoid.ts";
import { hardSwish } from "./hard-swish.ts";
import { identity } from "./identity.ts";
import { isInf } from "./is-inf.ts";
import { isNan } from "./is-nan.ts";
import { leakyRelu } from "./leaky-relu.ts";
import { less } from "./less.ts";
import { lessEqual } from "./less-equal.ts";
import { log } from "./log.ts";
import { max } from "./max.ts";
import { min } from "./min.ts";
import { mish } from "./mish.ts";
import { mod } from "./mod.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { not } from "./not.ts";
import { notEqual } from "./not-equal.ts";
import { or } from "./or.ts";
import { pow } from "./pow.ts";
import { prelu } from "./prelu.ts";
import { reciprocal } from "./reciprocal.ts";
import { relu } from "./relu.ts";
import { reluBackward } from "./relu-backward.ts";
import { round } from "./round.ts";
import { selu } from "./selu.ts";
import { shiftLeft } from "./shift-left.ts";
import { shiftRight } from "./shift-right.ts";
import { shrink } from "./shrink.ts";
import { sigmoid } from "./sigmoid.ts";
import { sign } from "./sign.ts";
import { sin } from "./sin.ts";
import { sinh } from "./sinh.ts";
import { softplus } from "./softplus.ts";
import { softsign } from "./softsign.ts";
import { sqrt } from "./sqrt.ts";
import { square } from "./square.ts";
import { squaredDifference } from "./squared-difference.ts";
import { sub } from "./sub.ts";
import { swish } from "./swish.ts";
import { tan } from "./tan.ts";
import { tanh } from "./tanh.ts";
import { thresholdedRelu } from "./thresholded-relu.ts";
import { where } from "./where.ts";
import { xor } from "./xor.ts";

export {
  abs,
  acos,
  acosh,
  add,
  and,
  asin,
  asinh,
  atan,
  atan2,
  atanh,
  bitwiseAnd,
  bitwiseNot,
  bitwiseOr,
  bitwiseXor,
  cast,
  ceil,
  celu,
  clip,
  cos,
  cosh,
  div,
  elu,
  equal,
  erf,
  exp,
  floor,
  floorDiv,
  gelu,
  greater,
  greaterEqual,
  hardSigmoid,
  hardSwish,
  identity,
  isInf,
  isNan,
  leakyRelu,
  less,
  lessEqual,
  log,
  max,
  min,
  mish,
  mod,
  mul,
  neg,
  not,
  notEqual,
  or,
  pow,
  prelu,
  reciprocal,
  relu,
  reluBackward,
  round,
  selu,
  shiftLeft,
  shiftRight,
  shrink,
  sigmoid,
  sign,
  sin,
  sinh,
  softplus,
  softsign,
  sqrt,
  square,
  squaredDifference,
  sub,
  swish,
  tan,
  tanh,
  thresholdedRelu,
  where,
  xor,
};

export const elementwiseOps = {
  abs,
  acos,
  acosh,
  add,
  and,
  asin,
  asinh,
  atan,
  atan2,
  atanh,
  bitwise_and: bitwiseAnd,
  bitwise_not: bitwiseNot,
  bitwise_or: bitwiseOr,
  bitwise_xor: bitwiseXor,
  cast,
  ceil,
  celu,
  clip,
  cos,
  cosh,
  div,
  elu,
  equal,
  erf,
  exp,
  floor_div: floorDiv,
  floor,
  gelu,
  greater_equal: greaterEqual,
  greater,
  hard_sigmoid: hardSigmoid,
  hard_swish: hardSwish,
  identity,
  is_inf: isInf,
  is_nan: isNan,
  leaky_relu: leakyRelu,
  less_equal: lessEqual,
  less,
  log,
  max,
  min,
  mish,
  mod,
  mul,
  neg,
  not_equal: notEqual,
  not,
  or,
  pow,
  prelu,
  reciprocal,
  relu,
  relu_backward: reluBackward,
  round,
  selu,
  shift_left: shiftLeft,
  shift_right: shiftRight,
  shrink,
  sigmoid,
  sign,
  sin,
  sinh,
  softplus,
  softsign,
  sqrt,
  square,
  squared_difference: squaredDifference,
  sub,
  swish,
  tan,
  tanh,
  thresholded_relu: thresholdedRelu,
  where,
  xor,
} satisfies Record<string, Op>;
