/** A chain of entries with cursors: an inbox, or a channel's log. */

/** @typedef {{ cursor: string, body: Record<string, any> }} Entry */

export class Chain {
  /** @type {Entry[]} */
  entries = []
  #nonce
  #last = 1000

  /** @param {number} nonce Tells two histories apart. */
  constructor(nonce) {
    this.#nonce = nonce
  }

  /** Where it ends. */
  get end() {
    return `${this.#last}-${this.#nonce}`
  }

  /** The position before the oldest entry. */
  get base() {
    return `${this.#last - this.entries.length}-${this.#nonce}`
  }

  /** @param {Record<string, any>} body */
  append(body) {
    this.#last++
    const entry = { cursor: this.end, body }
    this.entries.push(entry)
    return entry
  }

  /**
   * What follows a position, or from where it can be had.
   * @param {string} since
   * @returns {{ start: string, entries: Entry[], gap?: 'expired' | 'rewound' }}
   */
  after(since) {
    const [number, nonce] = since.split('-').map(Number)
    const behind = this.#last - number
    if (nonce !== this.#nonce || behind < 0) return { start: this.base, entries: this.entries, gap: 'rewound' }
    if (behind > this.entries.length) return { start: this.base, entries: this.entries, gap: 'expired' }
    return { start: since, entries: this.entries.slice(this.entries.length - behind) }
  }

  /**
   * Whether one position is further on than another.
   * @param {string} one
   * @param {string} other
   */
  static isAfter(one, other) {
    return Number(one.split('-')[0]) > Number(other.split('-')[0])
  }

  /** @param {number} count The newest that stay. */
  trim(count) {
    this.entries.splice(0, Math.max(0, this.entries.length - count))
  }
}
