/** @file The names of the functions that tersor writes into ONNX files for weights that are made of smaller ones. */

export const TERSOR_DOMAIN = "tersor";
/** Input: the vector of weights; attributes: shape and seed of the virtual tensor. */
export const HASHED_FUNCTION = "HashedWeights";
/** Inputs: x, the diagonals a and d; with a bias on d as the fourth. */
export const ACDC_FUNCTION = "Acdc";
export const ACDC_BIAS_FUNCTION = "AcdcWithBias";
