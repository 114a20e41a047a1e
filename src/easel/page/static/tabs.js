/** Tabs as the ARIA practices describe them: arrow keys, Home and End move; only the chosen one is in the tab order. */

export function makeTabs(list, onselect = () => {}) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  function select(tab, focus = false) {
    for (const one of tabs) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    onselect(tab.id);
  }
  for (const [k, tab] of tabs.entries()) {
    tab.type = "button";
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const target = {
        ArrowRight: tabs[(k + 1) % tabs.length],
        ArrowLeft: tabs[(k - 1 + tabs.length) % tabs.length],
        Home: tabs[0],
        End: tabs.at(-1),
      }[event.key];
      if (!target) return;
      event.preventDefault();
      select(target, true);
    });
  }
  select(tabs[0]);
  return { chosen: () => tabs.find((tab) => tab.tabIndex === 0).id, select: (id) => select(tabs.find((tab) => tab.id === id)) };
}
