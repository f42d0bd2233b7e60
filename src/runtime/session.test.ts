import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretProgram, smallFeeds, smallProgram } from "../../test/support/small-program.ts";
import { UserError } from "../util/errors.ts";
import { createSession } from "./session.ts";

test("a session gives the interpreter's results, again and again", async () => {
  const program = smallProgram();
  const session = await createSession(program, { variant: "base" });
  const expected = interpretProgram(program, smallFeeds());
  for (let i = 0; i < 3; i++) assert.deepEqual(session.run(smallFeeds()), expected);
  session.close();
  assert.throws(() => session.run(smallFeeds()), /is closed/);
});

test("wrong feeds are the user's mistake, named", async () => {
  const session = await createSession(smallProgram());
  const [x, q] = smallFeeds();
  const refused = (feeds: (typeof x)[], message: RegExp): void =>
    assert.throws(
      () => session.run(feeds),
      (e) => e instanceof UserError && message.test(e.message),
    );
  refused([x], /takes 2 inputs \(x, a-b "q"\), got 1/);
  refused([q, q], /input x takes f32\[1,16\], got u8\[16\]/);
  refused([{ ...x, type: { ...x.type, shape: [16] } }, q], /got f32\[16\]/);
});

test("a profile has one finite time per step, with labels", async () => {
  const session = await createSession(smallProgram());
  session.run(smallFeeds());
  const profile = session.profile(5);
  assert.deepEqual(
    profile.map((p) => p.label),
    ["dense", "bytes", "scale", "scale again"],
  );
  for (const { ms } of profile) assert.ok(ms >= 0 && ms < 1000);
  assert.equal(session.time(3).length, 3);
});
