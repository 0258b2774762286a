import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/states.css';
import './styles/filters.css';
import './styles/runs.css';
import './styles/flows-aside.css';
import './styles/run.css';
import './styles/tasks.css';
import './styles/logs.css';
import './styles/flows.css';
import './styles/session.css';
import { SessionDoor } from './session/session-door';
import { App } from './shell/app';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <SessionDoor>
      <App />
    </SessionDoor>
  </StrictMode>,
);
