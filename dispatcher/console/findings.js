/** What this process would have `carillon doctor` complain of. */
import { card } from './card.js'
import { button, element } from './dom.js'
import { ago, count } from './format.js'

const WORDS = { ok: 'as it should be', warning: 'to look at', failure: 'to repair' }

/** @param {(name: string, value: string, meaning: string, is?: any) => void} tell */
export function findings(tell) {
  const list = element('ul', 'findings')
  const told = element('p', 'about')
  const again = button('small', 'Look again', () => look())
  const it = card('What the checks say', 'What “carillon doctor” looks at, as far as a service may see it: each process looks at its start, when its keys change, and at the store every five minutes. doctor itself looks at more: permissions, functions, clocks, buffers, partitions.',
    list, told, again)

  const look = () => it.attempt(async () => {
    const { verdict, store_looked_at: looked, findings: all } = await it.ask('GET', '/checks')
    const rank = ['failure', 'warning', 'ok']
    all.sort((/** @type {any} */ one, /** @type {any} */ other) => rank.indexOf(one.level) - rank.indexOf(other.level))
    list.replaceChildren(...all.map(shown))
    told.textContent = verdict === null ? 'This process does not look by itself (--dev).'
      : looked ? `The store was looked at ${ago(looked)}.` : 'The store could not be looked at yet.'
    const wrong = all.filter(({ level }) => level !== 'ok').length
    tell('Checks', verdict === null ? 'none' : wrong ? `${wrong} to mend` : 'all well', verdict === null ? 'this process does not look' : `of ${count(all.length, 'check')}; see below`,
      verdict === 'failure' ? 'bad' : verdict === 'warning' ? 'busy' : verdict ? 'good' : '')
  })
  // Each question is a line of the process' log, and what it tells changes seldom.
  void look()
  return { root: it.root, look: undefined }
}

/** @param {{ level: 'ok' | 'warning' | 'failure', what: string, node?: string, detail: string, remedy?: string }} finding */
function shown({ level, what, node, detail, remedy }) {
  return element('li', `is-${level}`, element('strong', '', what), node && element('code', '', ` ${node}`), ` ${detail}`,
    element('span', 'flag', WORDS[level]), remedy && element('p', 'about', `→ ${remedy}`))
}
