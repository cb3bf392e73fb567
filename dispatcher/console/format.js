/** Numbers and times as people read them. Each says its unit. */

const NUMBER = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 2 })

/** @param {number} value */
export const number = (value) => NUMBER.format(value)

/** @param {number} value @param {string} one @param {string} [many] */
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`

/** How long, in the two largest units of it. @param {number} ms */
export function span(ms) {
  if (ms < 1_000) return `${number(Math.round(ms))} ms`
  const seconds = ms / 1_000
  if (seconds < 60) return `${number(Math.round(seconds * 10) / 10)} s`
  const parts = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]]
  let left = Math.round(seconds)
  const told = []
  for (const [unit, size] of /** @type {[string, number][]} */ (parts)) {
    const many = Math.floor(left / size)
    left -= many * size
    if (many) told.push(`${many} ${unit}`)
    if (told.length === 2 || (told.length && !many)) break
  }
  return told.join(' ')
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1)
  return `${number(bytes / 1_024 ** power)} ${units[power]}`
}

/** How long ago, or until when. @param {string | number} time */
export function ago(time) {
  const ms = Date.now() - new Date(time).getTime()
  return ms >= 0 ? `${span(ms)} ago` : `in ${span(-ms)}`
}

/** The date and time of here, to the second or finer. @param {string | number} time */
export function at(time, fine = false) {
  const date = new Date(time)
  const two = (/** @type {number} */ value) => `${value}`.padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${date.toTimeString().slice(0, 8)}${fine ? `.${`${date.getMilliseconds()}`.padStart(3, '0')}` : ''}`
}

/** A text that is not longer than that. @param {string} text */
export const short = (text, most = 120) => (text.length > most ? `${text.slice(0, most)}…` : text)
