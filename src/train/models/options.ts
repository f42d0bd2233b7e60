/** @file What every model built in code takes. */

export interface ModelOptions {
  /** Rows that go through the network together; default 1. */
  readonly batch?: number;
  readonly classes?: number;
  /** Of the initial weights. */
  readonly seed?: number;
}
