/** The key: typed in, tried once, and kept in memory. */
import { takeKey } from './api.js'
import { card } from './card.js'
import { element, field, form } from './dom.js'

/** @param {() => void} then */
export function signIn(then) {
  const key = field('API key', 'key', { type: 'password', required: true, placeholder: 'ck_…', autofocus: true,
    about: 'With the scope admin, and read; send and broadcast for those who send by hand.' })
  const keep = element('label', 'check', element('input', { type: 'checkbox', name: 'keep' }),
    ' Keep it in this tab, over a reload, until the tab is closed')
  const it = card('Show your key', 'It stays in this page’s memory, and goes nowhere but to the port that served the page.',
    form('stack', ({ key: typed, keep: kept }) => it.attempt(async () => {
      await it.ask('GET', '/checks', { withKey: typed.trim() })
      takeKey(typed.trim(), kept === 'on')
      then()
    }), key, keep, element('button', { class: 'primary' }, 'Open the console')),
    element('p', 'about', 'carillon apikey new --name console --scopes admin,read,send,broadcast makes one; its hash goes into the dispatchers’ configuration.'))
  it.root.classList.add('narrow')
  const view = element('div', '', element('h1', '', 'Console'), it.root)
  return view
}
