/** The Prometheus text format, as far as the console reads it: values by name, and what each means. */

/**
 * @typedef {{ values: Map<string, number>, meanings: Map<string, string> }} Metrics By name; what differs in its labels
 *   alone is added up.
 * @param {string} text
 * @returns {Metrics}
 */
export function read(text) {
  const values = new Map()
  const meanings = new Map()
  for (const line of text.split('\n')) {
    const help = /^# HELP (\S+) (.*)$/.exec(line)
    if (help) meanings.set(help[1], help[2])
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)/.exec(line)
    if (sample) values.set(sample[1], (values.get(sample[1]) ?? 0) + Number(sample[2]))
  }
  return { values, meanings }
}

/**
 * The mean of what a histogram was given between two readings; none where that was nothing.
 * @param {string} name @param {Metrics} now @param {Metrics | undefined} before
 */
export function mean(name, now, before) {
  const grown = (/** @type {string} */ of) => (now.values.get(of) ?? 0) - (before?.values.get(of) ?? 0)
  const count = grown(`${name}_count`)
  return count > 0 ? grown(`${name}_sum`) / count : undefined
}
