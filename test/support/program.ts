/** The built program as a child process. `npm test` builds it first. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Duration, Effect } from "effect"
import { layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { testToken } from "./testServer.js"

export const mainFile = fileURLToPath(new URL("../../dist/programs/main.js", import.meta.url))

export type Environment = Readonly<Record<string, string>>

const inherited = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", NO_COLOR: "1" }

export interface RunningServer {
  readonly child: ChildProcess
  readonly pid: number
  readonly url: string
  /** Everything written to stderr so far. */
  readonly log: () => string
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
  /** Sends the signal and waits for the end. */
  readonly stop: (signal: NodeJS.Signals) => Promise<number | string>
}

export interface SpawnedServer extends Omit<RunningServer, "url"> {
  /** Resolves once the log matches, rejects when the program ends before. */
  readonly logged: (pattern: RegExp) => Promise<RegExpExecArray>
}

/** `telemetry serve` on a free port, whether or not it ever listens. */
export const spawnServer = (environment: Environment): SpawnedServer => {
  const child = spawn(process.execPath, [mainFile, "serve"], {
    env: { ...inherited, AUTH_TOKEN: testToken, HOST: "127.0.0.1", PORT: "0", ...environment },
    stdio: ["ignore", "ignore", "pipe"]
  })
  let log = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text
  })
  const ended = once(child, "exit").then(([code, signal]): number | string => code ?? signal)
  const stop = (signal: NodeJS.Signals) => {
    child.kill(signal)
    return ended
  }
  const logged = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const found = pattern.exec(log)
        if (found === null) return
        child.stderr.off("data", look)
        resolve(found)
      }
      child.stderr.on("data", look)
      look()
      child.once("close", (code, signal) => reject(new Error(`serve ended early (${code ?? signal}): ${log}`)))
    })
  return { child, pid: child.pid!, log: () => log, ended, stop, logged }
}

/** The same once it listens; rejects when it ends before. */
export const startServer = async (environment: Environment): Promise<RunningServer> => {
  if (environment.LOG_LEVEL === "error") throw new Error("at this level the log does not say where the server listens")
  const server = spawnServer(environment)
  const [, url] = await server.logged(/Listening on (http:\/\/[\d.]+:\d+)/)
  return { ...server, url: url! }
}

/** The same for the life of the scope, killed at its end whatever has happened. */
export const serverProcess = (environment: Environment) =>
  Effect.acquireRelease(
    Effect.promise(() => startServer(environment)),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Runs the program to its end, 30 s at most; one that has to be killed has no code. */
export const runProgram = (
  args: ReadonlyArray<string>,
  environment: Environment = {}
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [mainFile, ...args], {
      env: { ...inherited, ...environment },
      timeout: 120_000,
      killSignal: "SIGKILL"
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (text) => {
      stdout += text
    })
    child.stderr.on("data", (text) => {
      stderr += text
    })
    child.once("close", (code) => resolve({ code, stdout, stderr }))
  })

/** The store that a server has left in its directory. */
export const layerStoreOf = (dataDir: string) =>
  layerEmbeddedStore({
    file: join(dataDir, "telemetry.sqlite"),
    retention: Duration.days(365),
    minFreeDiskBytes: 0
  })
