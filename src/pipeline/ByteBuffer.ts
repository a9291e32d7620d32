import { Effect } from "effect"

/** A buffer that grows and is used again: a fresh megabyte costs more in page faults than filling it does. */
export class ByteBuffer {
  bytes: Buffer
  /** On the whole of `bytes`. */
  view: DataView
  length = 0

  constructor(bytes = initialBytes) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
    this.view = viewOf(this.bytes)
  }

  clear(): void {
    this.length = 0
  }

  /** What was written since `clear`; valid until the next write. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  append(chunk: Buffer): void {
    this.reserve(chunk.length)
    this.length += chunk.copy(this.bytes, this.length)
  }

  /** Makes room for `extra` more bytes behind `length`. */
  reserve(extra: number): void {
    const needed = this.length + extra
    if (needed <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, needed))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
    this.view = viewOf(larger)
  }
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const initialBytes = 1024 * 1024
/** Buffers that grew beyond this for one giant body are not kept. */
const maxIdleBytes = 8 * 1024 * 1024
/** More are in use at once only in a rush; keeping those would keep the rush's memory. */
const maxIdle = 16

/** Lends a buffer to `use` and takes it back, however that ends. */
export const makeBufferPool = () => {
  const idle: Array<ByteBuffer> = []
  return <A, E, R>(use: (buffer: ByteBuffer) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => idle.pop() ?? new ByteBuffer()),
      use,
      (buffer) =>
        Effect.sync(() => {
          buffer.clear()
          if (idle.length < maxIdle && buffer.bytes.length <= maxIdleBytes) idle.push(buffer)
        })
    )
}
