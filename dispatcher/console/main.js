/** Joins the views: which one is shown follows from the part of the address after #, so that each has a link. */
import { hasKey, takeKey } from './api.js'
import { showCalls } from './calls.js'
import { byId, element } from './dom.js'
import { problem } from './card.js'
import { signIn } from './sign-in.js'
import { overview } from './overview.js'
import { user } from './user.js'
import { channel } from './channel.js'
import { notification } from './notification.js'
import { tail } from './tail.js'

/**
 * What each makes of the rest of the address: its parts, and what ends it.
 * @type {Record<string, [title: string, open: (names: string[]) => { parts: Node[], close?: () => void }]>}
 */
const VIEWS = {
  overview: ['Overview', overview],
  user: ['User', user],
  channel: ['Channel', channel],
  notification: ['Notification', notification],
  tail: ['Tail', tail],
}

const view = byId('view')
/** @type {(() => void) | undefined} */
let close

function show(moved = false) {
  close?.()
  close = undefined
  const isIn = hasKey()
  byId('nav').hidden = byId('leave').hidden = !isIn
  if (!isIn) return view.replaceChildren(signIn(() => show(true)))
  const [name, ...names] = location.hash.replace(/^#\/?/, '').split('/').map(decoded)
  const known = Object.hasOwn(VIEWS, name) ? name : 'overview'
  const [title, open] = VIEWS[known]
  document.title = `${[title, ...names].join(' ')} · Carillon console`
  for (const link of byId('nav').children) {
    if (link.hash === `#/${known}`) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  try {
    const it = open(names.filter(Boolean))
    close = it.close
    view.replaceChildren(element('h1', '', title), ...it.parts)
  } catch (error) {
    view.replaceChildren(problem(error))
  }
  if (moved) view.focus()
}

/** A part of the address that is none is taken as it is. @param {string} part */
function decoded(part) {
  try { return decodeURIComponent(part) } catch { return part }
}

addEventListener('hashchange', () => show(true))
byId('leave').addEventListener('click', () => {
  takeKey('', false)
  show(true)
})
showCalls(byId('calls'))
show()
