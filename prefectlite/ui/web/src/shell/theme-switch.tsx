import { THEMES, useTheme, type Theme } from './theme';

const NAMES: Record<Theme, string> = { light: 'Light', system: 'As the system', dark: 'Dark' };
const SHAPES: Record<Theme, React.ReactNode> = {
  light: (
    <>
      <circle cx="8" cy="8" r="2.8" />
      <path d="M8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1" />
    </>
  ),
  system: (
    <>
      <rect x="2" y="3" width="12" height="8" rx="1.2" />
      <path d="M5.5 13.5h5" />
    </>
  ),
  dark: <path d="M13.2 9.8A5.6 5.6 0 0 1 6.2 2.8a5.6 5.6 0 1 0 7 7Z" />,
};

export function ThemeSwitch() {
  const [theme, setTheme] = useTheme();
  return (
    <div className="theme-switch" role="radiogroup" aria-label="Theme">
      {THEMES.map((name) => (
        <label key={name} title={NAMES[name]}>
          <input
            type="radio"
            name="theme"
            aria-label={NAMES[name]}
            checked={theme === name}
            onChange={() => setTheme(name)}
          />
          <svg viewBox="0 0 16 16" aria-hidden="true">
            {SHAPES[name]}
          </svg>
        </label>
      ))}
    </div>
  );
}
