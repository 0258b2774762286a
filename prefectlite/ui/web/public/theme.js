// Runs before the first paint, so that a chosen theme never flashes in the other colours. See src/shell/theme.ts.
try {
  const chosen = localStorage.getItem('prefectlite.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // storage may be forbidden: then the system's theme holds
}
