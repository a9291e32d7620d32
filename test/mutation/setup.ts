import * as fc from "fast-check"

/** What a test file computes while it loads is not to be computed by the mutant that was tried before. */
const stryker: unknown = Reflect.get(globalThis, "__stryker__")
if (typeof stryker === "object" && stryker !== null) Reflect.set(stryker, "activeMutant", undefined)

// A survivor is tried by every test that comes across it: properties are for some hundred milliseconds then.
fc.configureGlobal({ ...fc.readConfigureGlobal(), interruptAfterTimeLimit: 700 })
