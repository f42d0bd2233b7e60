/** @file The names by which hashed weights are known in ONNX files. */

/** Of the functions that tersor writes. */
export const TERSOR_DOMAIN = "tersor";
/** Input: the vector of weights; attributes: shape and seed of the virtual tensor. */
export const HASHED_FUNCTION = "HashedWeights";
