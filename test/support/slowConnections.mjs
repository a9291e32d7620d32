/**
 * `node slowConnections.mjs PORT COUNT AUTHORIZATION`: opens that many connections, a fifth of each kind, and opens a new one
 * for each that is closed. Prints a line once all have been opened; ends when killed.
 */
import { connect } from "node:net"

const [port, count, authorization] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]
const submit = `POST /api/v1/submit HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n`

/** What each kind begins with, and goes on with every second. */
const kinds = [
  ["", ""],
  ["POST /api/v1/sub", ""],
  ["GET /health HTTP/1.1\r\nhost: x\r\n", "x-more: 1\r\n"],
  [`${submit}content-length: 2700000\r\n\r\n{`, " "],
  [`${submit}transfer-encoding: chunked\r\n\r\n4e20\r\n${" ".repeat(20_000)}\r\n`, "1\r\n \r\n"]
]

let opened = 0
const open = (kind) => {
  const [first, more] = kinds[kind]
  const socket = connect(port, "127.0.0.1")
  let drip
  socket.on("connect", () => {
    socket.write(first)
    if (more !== "") drip = setInterval(() => socket.write(more), 1_000)
    if (++opened === count) process.stdout.write("open\n")
  })
  socket.on("data", () => {})
  socket.on("error", () => {})
  socket.on("close", () => {
    clearInterval(drip)
    setTimeout(() => open(kind), 1_000)
  })
}
for (let i = 0; i < count; i++) open(i % kinds.length)
