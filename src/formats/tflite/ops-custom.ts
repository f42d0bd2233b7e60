/** @file Custom operators by their code. */
import type { Handlers } from "./context.ts";

export const customHandlers: Handlers = {};
