// Times as journalctl's short forms show them, in the local zone or in UTC. Entries of one second come together, so the last text is kept.

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export class LocalTime {
  readonly #utc: boolean
  #second = -1
  #date = new Date(0)
  #offset = 0
  #short = ''
  #iso = ''
  #dateTime = ''

  constructor(utc: boolean) {
    this.#utc = utc
  }

  /** µs since 1970 as `Nov 14 22:13:20`. */
  short(realtimeUs: number): string {
    this.#move(realtimeUs)
    if (this.#short === '') {
      const date = this.#date
      this.#short = `${MONTHS[date.getUTCMonth()]} ${two(date.getUTCDate())} ${clock(date)}`
    }
    return this.#short
  }

  /** µs since 1970 as `2023-11-14T22:13:20+0000`. */
  iso(realtimeUs: number): string {
    this.#move(realtimeUs)
    if (this.#iso === '') {
      const date = this.#date
      const offset = Math.abs(this.#offset)
      const zone = `${this.#offset < 0 ? '-' : '+'}${two(Math.floor(offset / 60))}${two(offset % 60)}`
      this.#iso = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}T${clock(date)}${zone}`
    }
    return this.#iso
  }

  /** µs since 1970 as `2023-11-14 22:13:20`. */
  dateTime(realtimeUs: number): string {
    this.#move(realtimeUs)
    if (this.#dateTime === '') {
      const date = this.#date
      this.#dateTime = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())} ${clock(date)}`
    }
    return this.#dateTime
  }

  /** Sets `#date` so that its UTC fields show the zone's time. */
  #move(realtimeUs: number): void {
    const second = Math.floor(realtimeUs / 1_000_000)
    if (second === this.#second) return
    this.#second = second
    this.#offset = this.#utc ? 0 : -new Date(second * 1000).getTimezoneOffset()
    this.#date = new Date((second + this.#offset * 60) * 1000)
    this.#short = ''
    this.#iso = ''
    this.#dateTime = ''
  }
}

function clock(date: Date): string {
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
}

function two(number: number): string {
  return number < 10 ? `0${number}` : String(number)
}
