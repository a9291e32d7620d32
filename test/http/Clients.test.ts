import { Headers } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Redacted } from "effect"
import * as fc from "fast-check"
import { makeClientOf } from "../../src/http/Clients.js"
import { makeAddressDigests, maskAddress } from "../../src/pipeline/Mask.js"
import { trustedProxies } from "../../src/Settings.js"
import { withSettings } from "../support/settingsTable.js"

const networksOf = (list: string) =>
  Effect.runSync(withSettings({ TRUSTED_PROXIES: list }, Effect.either(trustedProxies)))
const clientOf = (trusted: string) => {
  const of = makeClientOf(Either.getOrThrow(networksOf(trusted)))
  return (peer: string, headers: Readonly<Record<string, string>> = {}) => {
    const client = of(peer, Headers.fromInput(headers))
    return { ...client, address: Redacted.value(client.address) }
  }
}
const trusting = clientOf("10.0.0.0/8, 127.0.0.1, fd00::/8")
const addressOf = (peer: string, headers: Readonly<Record<string, string>>) => trusting(peer, headers).address

describe("the client's address", () => {
  it.each([
    ["nothing said", "10.0.0.1", {}, "10.0.0.1"],
    ["one proxy", "10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["mapped peer", "::ffff:10.0.0.1", { "x-forwarded-for": "198.51.100.7" }, "198.51.100.7"],
    ["mapped client", "10.0.0.1", { "x-forwarded-for": "::ffff:c633:6407" }, "198.51.100.7"],
    ["with a port", "10.0.0.1", { "x-forwarded-for": "198.51.100.7:4711" }, "198.51.100.7"],
    ["IPv6", "fd00::1", { "x-forwarded-for": "2001:DB8::1" }, "2001:db8:0:0:0:0:0:1"],
    ["IPv6 with a port", "10.0.0.1", { "x-forwarded-for": "[2001:db8::1]:443" }, "2001:db8:0:0:0:0:0:1"],
    ["what the client added", "10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7" }, "198.51.100.7"],
    ["a chain of ours", "10.0.0.1", { "x-forwarded-for": "1.1.1.1, 198.51.100.7, 10.2.3.4" }, "198.51.100.7"],
    ["all of them ours", "10.0.0.1", { "x-forwarded-for": "10.9.9.9, 10.2.3.4" }, "10.9.9.9"],
    ["rubbish", "10.0.0.1", { "x-forwarded-for": "198.51.100.7, nobody" }, "10.0.0.1"],
    ["rubbish behind a chain", "10.0.0.1", { "x-forwarded-for": "198.51.100.7, x, 10.2.3.4" }, "10.2.3.4"],
    ["empty", "10.0.0.1", { "x-forwarded-for": "" }, "10.0.0.1"],
    [
      "Forwarded",
      "10.0.0.1",
      { forwarded: 'for=1.1.1.1, by=x;For="[2001:db8::1]:443";proto=https' },
      "2001:db8:0:0:0:0:0:1"
    ],
    ["Forwarded, hidden", "10.0.0.1", { forwarded: "for=_secret" }, "10.0.0.1"],
    ["Forwarded, a comma in quotes", "10.0.0.1", { forwarded: 'for=198.51.100.7;by="a,for=1.1.1.1"' }, "198.51.100.7"],
    ["Forwarded, half a quote", "10.0.0.1", { forwarded: 'for="198.51.100.7, for=10.1.1.1' }, "10.1.1.1"],
    ["both, agreeing", "10.0.0.1", { "x-forwarded-for": "9.9.9.9", forwarded: "for=9.9.9.9" }, "9.9.9.9"],
    ["both, at odds", "10.0.0.1", { "x-forwarded-for": "9.9.9.9", forwarded: "for=8.8.8.8" }, "10.0.0.1"],
    ["a stranger", "192.0.2.1", { "x-forwarded-for": "9.9.9.9", forwarded: "for=9.9.9.9" }, "192.0.2.1"],
    ["no address at all", "", { "x-forwarded-for": "9.9.9.9" }, ""]
  ])("%s", (_, peer, headers, expected) =>
    assert.strictEqual(addressOf(peer, headers as Record<string, string>), expected)
  )

  it("a client's quotes without an end cost one pass over them, and quote nothing of what its proxy wrote", () => {
    // Going back at each of them, as a regular expression does, a reader would be busy for hours.
    const forwarded = `for="${'\\"'.repeat(2_000_000)}, for=198.51.100.7`
    assert.strictEqual(addressOf("10.0.0.1", { forwarded }), "198.51.100.7")
  })

  it("nothing that a stranger says, and nothing that a client puts before its proxy's entry, changes it", () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
      fc.constantFrom("10.0.0.1", "127.0.0.1", "unknown", ",", '"')
    )
    fc.assert(
      fc.property(text, text, fc.ipV4(), (a, b, client) => {
        const said = { "x-forwarded-for": `${a}, ${b}`, forwarded: `for=${a}, for="${b}"`, "x-real-ip": a }
        assert.strictEqual(addressOf("192.0.2.1", said), "192.0.2.1")
        assert.isFalse(trusting("192.0.2.1", { ...said, "x-forwarded-proto": "https" }).isHttps)
        const seen = addressOf("10.0.0.1", { "x-forwarded-for": `${a}, ${b}, ${client}` })
        if (!/^(10|127)\./.test(client)) assert.strictEqual(seen, client)
      }),
      { numRuns: 500 }
    )
  })

  it("local is only what nobody has passed on; TLS is what a trusted proxy says", () => {
    assert.isTrue(trusting("127.0.0.1").isLocal)
    assert.isTrue(trusting("::1").isLocal)
    assert.isFalse(trusting("127.0.0.1", { "x-forwarded-for": "127.0.0.1" }).isLocal)
    assert.isFalse(trusting("::1", { forwarded: "for=127.0.0.1" }).isLocal)
    assert.isFalse(trusting("10.0.0.1").isLocal)
    assert.isTrue(trusting("10.0.0.1", { "x-forwarded-for": "9.9.9.9", "x-forwarded-proto": "https" }).isHttps)
    assert.isTrue(trusting("10.0.0.1", { forwarded: "for=9.9.9.9;proto=https" }).isHttps)
    assert.isFalse(trusting("10.0.0.1", { "x-forwarded-for": "9.9.9.9", "x-forwarded-proto": "http" }).isHttps)
    assert.isTrue(trusting("192.0.2.1", { "x-forwarded-for": "9.9.9.9" }).isThroughStranger)
  })

  it("networks are checked when the program starts", () => {
    for (const list of ["10.0.0.0/33", "fd00::/129", "proxy.example", "10.0.0.1/", "10.0.0/8", "::ffff:10.0.0.0/95"]) {
      assert.isTrue(Either.isLeft(networksOf(list)), list)
    }
    const mapped = clientOf("::ffff:10.0.0.0/104")
    assert.strictEqual(mapped("10.1.2.3", { "x-forwarded-for": "9.9.9.9" }).address, "9.9.9.9")
    assert.strictEqual(mapped("11.1.2.3", { "x-forwarded-for": "9.9.9.9" }).address, "11.1.2.3")
  })
})

describe("an address's digest", () => {
  const day = 86_400_000
  const digests = makeAddressDigests()
  const digest = (address: string, nowMs: number) =>
    digests.digest(makeClientOf([])(address, Headers.empty).address, nowMs)

  it("is the same for a day, another the next day, and tells addresses apart", () => {
    const first = digest("198.51.100.7", 5 * day)
    assert.strictEqual(digest("198.51.100.7", 6 * day - 1), first)
    assert.strictEqual(digest("::ffff:198.51.100.7", 6 * day - 1), first)
    assert.notStrictEqual(digest("198.51.100.8", 5 * day), first)
    assert.notStrictEqual(digest("198.51.100.7", 6 * day), first)
    assert.notStrictEqual(digest("198.51.100.7", 5 * day), first, "the key of a day that is over does not come back")
    assert.notInclude(first, "198")
  })

  it("a home's IPv6 network is one address", () => {
    assert.strictEqual(digest("2001:db8:1:2::1", day), digest("2001:db8:1:2:ffff::9", day))
    assert.notStrictEqual(digest("2001:db8:1:2::1", day), digest("2001:db8:1:3::1", day))
  })

  it("the key is gone once the day is over, whether or not anybody asks", () => {
    const before = digest("198.51.100.7", 10 * day)
    digests.forget(10 * day + 1)
    assert.strictEqual(digest("198.51.100.7", 10 * day), before)
    digests.forget(11 * day)
    assert.notStrictEqual(digest("198.51.100.7", 10 * day), before)
    assert.strictEqual(maskAddress(makeClientOf([])("198.51.100.7", Headers.empty).address), "198.51.xxx.xxx")
  })
})
