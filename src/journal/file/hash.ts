// The two hash functions of journal files: SipHash-2-4 keyed with the file id (Aumasson and Bernstein, 2012), and Jenkins' lookup3
// hashlittle2 (2006, public domain) in older files and in every entry's xor_hash. 64 bits are kept as two unsigned 32-bit halves.

/** A 64-bit hash: high and low half, unsigned. */
export interface Hash64 {
  readonly high: number
  readonly low: number
}

/** Half words of SipHash's state, low before high: v0 v1 v2 v3. Kept to save an allocation; the function does not call out. */
const v = new Int32Array(8)

/** SipHash-2-4 of `data`. `key` is 16 bytes. */
export function siphash24(data: Uint8Array, key: Uint8Array): Hash64 {
  const k0 = word(key, 0)
  const k1 = word(key, 4)
  const k2 = word(key, 8)
  const k3 = word(key, 12)
  v[0] = k0 ^ 0x70736575
  v[1] = k1 ^ 0x736f6d65
  v[2] = k2 ^ 0x6e646f6d
  v[3] = k3 ^ 0x646f7261
  v[4] = k0 ^ 0x6e657261
  v[5] = k1 ^ 0x6c796765
  v[6] = k2 ^ 0x79746573
  v[7] = k3 ^ 0x74656462
  const whole = data.length - (data.length % 8)
  for (let i = 0; i < whole; i += 8) mix(word(data, i), word(data, i + 4))
  let low = 0
  let high = 0
  for (let i = whole; i < data.length; i++) {
    const at = i - whole
    if (at < 4) low |= (data[i] as number) << (8 * at)
    else high |= (data[i] as number) << (8 * (at - 4))
  }
  mix(low, high | ((data.length & 0xff) << 24))
  v[4] = (v[4] as number) ^ 0xff
  for (let i = 0; i < 4; i++) round()
  return {
    low: ((v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number)) >>> 0,
    high: ((v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number)) >>> 0,
  }
}

function mix(low: number, high: number): void {
  v[6] = (v[6] as number) ^ low
  v[7] = (v[7] as number) ^ high
  round()
  round()
  v[0] = (v[0] as number) ^ low
  v[1] = (v[1] as number) ^ high
}

function round(): void {
  add(0, 2)
  rotate(2, 13)
  xor(2, 0)
  rotate(0, 32)
  add(4, 6)
  rotate(6, 16)
  xor(6, 4)
  add(0, 6)
  rotate(6, 21)
  xor(6, 0)
  add(4, 2)
  rotate(2, 17)
  xor(2, 4)
  rotate(4, 32)
}

function add(a: number, b: number): void {
  const low = ((v[a] as number) >>> 0) + ((v[b] as number) >>> 0)
  v[a] = low
  v[a + 1] = (v[a + 1] as number) + (v[b + 1] as number) + (low > 0xffffffff ? 1 : 0)
}

function xor(a: number, b: number): void {
  v[a] = (v[a] as number) ^ (v[b] as number)
  v[a + 1] = (v[a + 1] as number) ^ (v[b + 1] as number)
}

function rotate(a: number, bits: number): void {
  const low = v[a] as number
  const high = v[a + 1] as number
  if (bits === 32) {
    v[a] = high
    v[a + 1] = low
    return
  }
  v[a] = (low << bits) | (high >>> (32 - bits))
  v[a + 1] = (high << bits) | (low >>> (32 - bits))
}

/** lookup3's hashlittle2 with both seeds 0, as systemd combines its results: the first is the high half. */
export function jenkins(data: Uint8Array): Hash64 {
  const n = data.length
  let a = (0xdeadbeef + n) | 0
  let b = a
  let c = a
  let i = 0
  for (; n - i > 12; i += 12) {
    a = (a + word(data, i)) | 0
    b = (b + word(data, i + 4)) | 0
    c = (c + word(data, i + 8)) | 0
    a = ((a - c) | 0) ^ left(c, 4)
    c = (c + b) | 0
    b = ((b - a) | 0) ^ left(a, 6)
    a = (a + c) | 0
    c = ((c - b) | 0) ^ left(b, 8)
    b = (b + a) | 0
    a = ((a - c) | 0) ^ left(c, 16)
    c = (c + b) | 0
    b = ((b - a) | 0) ^ left(a, 19)
    a = (a + c) | 0
    c = ((c - b) | 0) ^ left(b, 4)
    b = (b + a) | 0
  }
  if (n - i > 0) {
    a = (a + tail(data, i)) | 0
    b = (b + tail(data, i + 4)) | 0
    c = (c + tail(data, i + 8)) | 0
    c = ((c ^ b) - left(b, 14)) | 0
    a = ((a ^ c) - left(c, 11)) | 0
    b = ((b ^ a) - left(a, 25)) | 0
    c = ((c ^ b) - left(b, 16)) | 0
    a = ((a ^ c) - left(c, 4)) | 0
    b = ((b ^ a) - left(a, 14)) | 0
    c = ((c ^ b) - left(b, 24)) | 0
  }
  return { high: c >>> 0, low: b >>> 0 }
}

function left(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits))
}

function word(data: Uint8Array, i: number): number {
  return (
    (data[i] as number) |
    ((data[i + 1] as number) << 8) |
    ((data[i + 2] as number) << 16) |
    ((data[i + 3] as number) << 24)
  )
}

/** As `word`, with zeroes for what lies past the end. */
function tail(data: Uint8Array, i: number): number {
  let w = 0
  for (let k = 0; k < 4 && i + k < data.length; k++) w |= (data[i + k] as number) << (8 * k)
  return w
}

/** `hash` modulo the number of buckets of a hash table, which is below 2^31. */
export function bucketOf(hash: Hash64, buckets: number): number {
  return Number(((BigInt(hash.high) << 32n) | BigInt(hash.low)) % BigInt(buckets))
}
