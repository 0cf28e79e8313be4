// Lists with weights, as Accept and Accept-Encoding have them (RFC 9110, 12.4.2).

/** An item in lower case; a weight that is none counts as 0, which means: not wanted. */
export interface Weighted {
  readonly name: string
  readonly quality: number
}

/** The items, in their order. */
export function readWeighted(header: string): Weighted[] {
  return header.split(',').map((item) => {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    const weight = parameters.find((part) => /^q\s*=/.test(part))?.replace(/^q\s*=\s*/, '')
    const quality = weight === undefined ? 1 : /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0
    return { name, quality }
  })
}
