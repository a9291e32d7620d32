import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer } from "effect"
import * as fc from "fast-check"
import { rawAddress } from "../../src/domain/Address.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../../src/pipeline/Decode.js"
import { FieldNames } from "../../src/pipeline/FieldNames.js"
import { Mask } from "../../src/pipeline/Mask.js"
import { Quotas } from "../../src/pipeline/Quotas.js"
import { TokenBuckets } from "../../src/pipeline/TokenBuckets.js"
import { quotas } from "../../src/Settings.js"
import { Store } from "../../src/store/Store.js"
import { makeJumpingClock } from "../support/clock.js"
import { withSettings } from "../support/settingsTable.js"

const hourMs = 3_600_000

describe("TokenBuckets", () => {
  it("never gives more than what has flowed in, and says exactly when there is enough again", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(hourMs / 4)), { maxLength: 60 }), (steps) => {
        const buckets = new TokenBuckets(100)
        let nowMs = 0
        let given = 0
        for (const [amount, waitMs] of steps) {
          nowMs += waitMs
          const waitSeconds = buckets.take("home", amount, nowMs)
          if (waitSeconds === 0) given += amount
          else {
            const early = new TokenBuckets(100)
            early.charge("home", given, 0)
            nowMs += waitSeconds * 1000
            assert.strictEqual(buckets.take("home", amount, nowMs), 0, "after the seconds that it asked for")
            given += amount
          }
          assert.isAtMost(given, 100 + (nowMs * 100) / hourMs + 1e-6)
        }
      })
    )
  })

  it("says after how many seconds what is missing will have flowed in", () => {
    const buckets = new TokenBuckets(100)
    assert.deepStrictEqual(
      [80, 50, 21, 20, 1].map((amount) => buckets.take("home", amount, 0)),
      [0, 30 * 36, 36, 0, 36]
    )
  })

  it("keeps the buckets of those who ask, and no more than it may", () => {
    const few = new TokenBuckets(1, 2)
    for (const key of ["a", "b"]) few.take(key, 1, 0)
    assert.deepStrictEqual([few.size, few.take("a", 1, 0)], [2, 3600])
    const buckets = new TokenBuckets(2, 100)
    for (let i = 0; i < 10_000; i++) {
      buckets.take("runaway", 1, 0)
      buckets.take(`other ${i}`, 1, 0)
      assert.isAtMost(buckets.size, 100)
    }
    assert.isAbove(buckets.take("runaway", 1, 0), 0)
  })

  it("a clock that is set back gives and takes nothing", () => {
    const buckets = new TokenBuckets(10)
    assert.strictEqual(buckets.take("home", 10, hourMs), 0)
    assert.isAbove(buckets.take("home", 10, 0), 0)
    assert.isAbove(buckets.take("home", 10, hourMs / 2), 0)
  })

  it("what is larger than the bucket passes when it is full, and is owed", () => {
    const buckets = new TokenBuckets(10)
    assert.strictEqual(buckets.take("home", 25, 0), 0)
    assert.isAbove(buckets.take("home", 1, hourMs), 0)
    assert.strictEqual(buckets.take("home", 1, 2 * hourMs), 0)
  })
})

describe("FieldNames", () => {
  it("each installation has its own, and what it has it keeps", () => {
    const names = new FieldNames(2)
    const mayUse = names.allowanceOf("a")
    assert.deepStrictEqual(["x", "y", "z", "x"].map(mayUse), [true, true, false, true])
    assert.deepStrictEqual(["z", "x"].map(names.allowanceOf("a")), [false, true])
    assert.isTrue(names.allowanceOf("b")("z"))
  })

  it("forgets whole installations, those not heard of longest, once there are more names than it may keep", () => {
    const names = new FieldNames(20, 10)
    const use = (home: string, count: number) => {
      const mayUse = names.allowanceOf(home)
      for (let i = 0; i < count; i++) assert.isTrue(mayUse(`${i}`))
    }
    const kept = (count: number) => ["a", "b", "c"].filter((home) => names.hasUsed(home, `${count - 1}`))
    use("a", 6)
    use("b", 4)
    assert.deepStrictEqual([names.total, kept(4), kept(5), kept(7)], [10, ["a", "b"], ["a"], []])
    names.allowanceOf("a")
    use("c", 1)
    assert.deepStrictEqual([names.total, kept(1)], [7, ["a", "c"]])
    use("c", 12)
    assert.deepStrictEqual([names.total, kept(1), kept(12)], [12, ["c"], ["c"]])
    assert.isFalse(names.hasUsed("nobody", "0"))
  })

  it("a flood of installations and names is forgotten oldest first", () => {
    const names = new FieldNames(50, 1_000)
    for (let home = 0; home < 1_000; home++) {
      const mayUse = names.allowanceOf(String(home))
      for (let i = 0; i < 60; i++) assert.strictEqual(mayUse(`name_${i}`), i < 50)
      assert.isAtMost(names.total, 1_000)
    }
  })
})

/** As the README gives them. */
const standard = Effect.runSync(withSettings({}, quotas))
const known = new Set<string>()
const layerQuotas = (options = standard) =>
  Quotas.layer(options).pipe(
    Layer.provide(Mask.layer),
    Layer.provide(Layer.mock(Store, { knows: (id) => Effect.succeed(known.has(id)) }))
  )

/** A post of a home with 137 sensors. */
const postOf = (installation: string, records: number) => {
  const values = Object.fromEntries(Array.from({ length: 137 }, (_, i) => [`sensor_${i}`, i]))
  const data = Array.from({ length: records }, (_, i) => ({ timestamp: 1_700_000_000 + i, ...values }))
  return Effect.runSync(
    submissionOf(
      { installation_id: installation, version: "1.0.1", data },
      1_700_000_000_000,
      365 * 24 * hourMs,
      new ByteBuffer()
    )
  )
}
const home = (n: number) => InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`)
const samplesIn = (posts: ReadonlyArray<boolean>) => posts.filter((passed) => passed).length

describe("quotas as they are by default", () => {
  const address = rawAddress("198.51.100.7")
  /** One post of a home, as the server sees it. */
  const post = (submission: ReturnType<typeof postOf>, from = address) =>
    Effect.gen(function* () {
      const quotas = yield* Quotas
      const passed = Either.isRight(
        yield* Effect.either(Effect.zipRight(quotas.request(from), quotas.submission(submission, from)))
      )
      if (passed) known.add(submission.installationId)
      return passed
    })

  it.effect(
    "a home that returns after 72 hours passes with all its 9 posts at once; a hundred times that does not",
    () =>
      Effect.gen(function* () {
        const batch = postOf(home(1), 480)
        const all = yield* Effect.replicateEffect(post(batch), 9)
        assert.strictEqual(samplesIn(all), 9)
        const runaway = postOf(home(2), 480)
        const many = yield* Effect.replicateEffect(post(runaway), 900)
        assert.isBelow(samplesIn(many), 100)
        assert.isTrue(yield* post(postOf(home(3), 480)), "its neighbour is not refused")
      }).pipe(Effect.provide(layerQuotas()))
  )

  it.live("a home that records every second, in bursts of 2,000 records, passes for a week", () => {
    const clock = makeJumpingClock(Date.now())
    return Effect.gen(function* () {
      const batch = postOf(home(4), 500)
      for (let sent = 0; sent < 7 * 86_400; sent += 2_000) {
        yield* clock.jumpTo(clock.nowMs() + 2_000_000)
        assert.strictEqual(samplesIn(yield* Effect.replicateEffect(post(batch), 4)), 4)
      }
    }).pipe(Effect.provide(layerQuotas()), Effect.withClock(clock.clock))
  })

  it.effect("60 homes at one address return at once after 72 hours, and each passes", () =>
    Effect.gen(function* () {
      for (let n = 100; n < 160; n++) {
        const all = yield* Effect.replicateEffect(post(postOf(home(n), 1)), 9)
        assert.strictEqual(samplesIn(all), 9)
      }
    }).pipe(Effect.provide(layerQuotas()))
  )

  it.live("new installations are counted by address, known ones are not, and this machine's own are not", () => {
    const clock = makeJumpingClock(Date.now())
    return Effect.gen(function* () {
      const { submission } = yield* Quotas
      const send = (id: string, from: typeof address | undefined) =>
        Effect.map(Effect.either(submission(postOf(id, 1), from)), Either.isRight)
      for (let i = 0; i < 100; i++) assert.isTrue(yield* send(randomUUID(), address))
      const refused = yield* Effect.flip(submission(postOf(home(5), 1), address))
      const detail = "Too many new installations from this address, please retry later"
      assert.deepInclude(refused, { _tag: "QuotaExceeded", detail, retryAfterSeconds: 36 })
      assert.isTrue(yield* send(home(5), rawAddress("198.51.100.8")))
      assert.isTrue(yield* send(randomUUID(), undefined))
      known.add(home(5))
      assert.isTrue(yield* send(home(5), address))
      yield* clock.jumpTo(clock.nowMs() + hourMs)
      assert.isTrue(yield* send(randomUUID(), address))
    }).pipe(Effect.provide(layerQuotas()), Effect.withClock(clock.clock))
  })

  it.effect("say what there was too much of, and when there is room again", () =>
    Effect.gen(function* () {
      const { request, submission } = yield* Quotas
      const batch = postOf(home(6), 1)
      yield* submission(batch, undefined)
      const samples = yield* Effect.flip(submission(batch, undefined))
      assert.deepInclude(samples, {
        detail: "Too many samples of this installation, please retry later",
        retryAfterSeconds: 3_600
      })
      yield* request(address)
      yield* request(address)
      assert.deepInclude(yield* Effect.flip(request(address)), {
        detail: "Too many requests from this address, please retry later",
        retryAfterSeconds: 1_800
      })
    }).pipe(Effect.provide(layerQuotas({ ...standard, installationSamplesPerHour: 137, addressRequestsPerHour: 2 })))
  )

  it.effect("refused requests count ten times", () =>
    Effect.gen(function* () {
      const { refused, request } = yield* Quotas
      const attempt = Effect.zipRight(request(address), refused(address))
      const passed = yield* Effect.replicateEffect(Effect.either(attempt), standard.addressRequestsPerHour / 5)
      assert.strictEqual(passed.filter(Either.isRight).length, standard.addressRequestsPerHour / 10)
      assert.isTrue(Either.isRight(yield* Effect.either(request(rawAddress("198.51.100.8")))))
    }).pipe(Effect.provide(layerQuotas()), Effect.withClock(makeJumpingClock(Date.now()).clock))
  )
})
