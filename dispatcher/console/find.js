/** The form with which a view is opened by name: what it opens has an address of its own. */
import { element, form } from './dom.js'

/** @param {string} view @param {...string} names */
export const link = (view, ...names) => `#/${[view, ...names].map(encodeURIComponent).join('/')}`

/**
 * @param {string} view
 * @param {HTMLElement[]} fields
 * @param {string} about
 */
export function find(view, fields, about) {
  return element('section', { class: 'card', 'aria-label': 'Find' },
    form('controls', (values) => {
      const to = link(view, ...Object.values(values).map((value) => value.trim()))
      if (location.hash === to) dispatchEvent(new Event('hashchange'))
      else location.hash = to
    }, ...fields, element('button', { class: 'primary' }, 'Show')),
    element('p', 'about', about))
}
