/** @file Node tests that are not expected to pass, in groups, each with its reason. */

export interface SkipGroup {
  readonly reason: string;
  /** Matches the whole name of a case without "test_". */
  readonly cases: RegExp;
  /** Absent: on every engine. */
  readonly engine?: "interpreter" | "wasm";
}

const NARROW = "FLOAT8|FLOAT4|U?INT4|U?INT2|e4m3fn|e5m2|e8m0|float4e2m1|u?int4|u?int2";

export const SKIP: readonly SkipGroup[] = [
  {
    reason: "element types below 8 bits and 8-bit floats are not tensors of tersor",
    cases: new RegExp(`^(cast|castlike|quantizelinear|dequantizelinear)_(.*_)?(${NARROW}).*$`),
  },
  {
    reason: "text is not a tensor of tersor",
    cases:
      /^(string_.*|strnormalizer_.*|regex_.*|equal_string.*|ai_onnx_ml_label_encoder_.*|tfidfvectorizer_.*)$/,
  },
  {
    reason: "sequences are not values of tersor",
    cases:
      /^(sequence_.*|split_to_sequence_.*|identity_sequence|if_seq|loop13_seq|optional_get_element_sequence)$/,
  },
  {
    reason: "optional types are not values of tersor",
    cases: /^(identity_opt|if_opt|loop16_seq_none|optional_(has|get)_element_(?!sequence).*)$/,
  },
  {
    reason: "training operators",
    cases: /^(adagrad|adam|momentum|nesterov_momentum)(_multiple)?$/,
  },
  {
    reason: "random results",
    cases: /^(bernoulli.*|training_dropout(_default)?(_mask)?)$/,
  },
  { reason: "decoding images is not inference", cases: /^image_decoder_.*$/ },
  {
    reason: "classical machine learning operators (ai.onnx.ml)",
    cases: /^ai_onnx_ml_(array_feature_extractor|binarizer|tree_ensemble_.*)$/,
  },
  {
    reason: "preview operator with subgraphs as attributes; its expansion is imported",
    cases: /^flexattention(?!.*_expanded).*$/,
  },
  { reason: "deformable convolution", cases: /^(basic_)?deform_conv_.*$/ },
  { reason: "Scan before opset 9", cases: /^scan_sum$/ },
  {
    reason:
      "expected values use the fractional output extent; ONNX Runtime and tersor the whole one",
    cases: /^resize_downsample_scales_(linear|cubic)_align_corners$/,
  },
];

/** Absolute tolerance where the expected values carry noise of that size around zero. */
export const NOISE: readonly { readonly cases: RegExp; readonly atol: number }[] = [
  { cases: /^(dft|stft)/, atol: 1e-6 },
];

const shortName = (name: string): string => name.replace(/^test_/, "");

/** The reason a case is skipped on an engine, or null. */
export function skipReason(name: string, engine: "interpreter" | "wasm"): string | null {
  const group = SKIP.find((g) => (g.engine ?? engine) === engine && g.cases.test(shortName(name)));
  return group?.reason ?? null;
}

/** The absolute tolerance of a case. */
export const absoluteTolerance = (name: string): number =>
  NOISE.find((n) => n.cases.test(shortName(name)))?.atol ?? 1e-7;
