//! Changes of the catalog: projects, logstores and their indexes are made, changed and deleted.
//!
//! A change runs on the thread that writes packs, between two transactions, in the database first and then in the copy
//! that requests look at; it answers when it is on the disk.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::catalog::ChangeError;
use super::writer::Job;
use super::{Catalog, Index, Refused, Settings, Store, StoreError};

impl Store {
    /// Makes a project and a logstore where they are not there yet.
    pub async fn ensure(&self, project: &str, logstore: &str) -> Result<(), StoreError> {
        match self.create_project(project, "").await {
            Ok(()) | Err(StoreError::Refused(Refused::ProjectExists(_))) => {}
            Err(error) => return Err(error),
        }
        match self.create_logstore(project, logstore, Settings::default()).await {
            Ok(()) | Err(StoreError::Refused(Refused::LogstoreExists(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn create_project(&self, name: &str, description: &str) -> Result<(), StoreError> {
        let (name, description, now) = (name.to_owned(), description.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.create_project(db, &name, &description, now)).await
    }

    pub async fn update_project(&self, name: &str, description: &str) -> Result<(), StoreError> {
        let (name, description, now) = (name.to_owned(), description.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.update_project(db, &name, &description, now)).await
    }

    /// Deletes a project with its logstores and, soon after, their packs.
    pub async fn delete_project(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.change(move |catalog, db| catalog.delete_project(db, &name)).await
    }

    pub async fn create_logstore(
        &self,
        project: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), StoreError> {
        let (project, name, now) = (project.to_owned(), name.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.create_logstore(db, &project, &name, settings, now)).await
    }

    pub async fn update_logstore(
        &self,
        project: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), StoreError> {
        let (project, name, now) = (project.to_owned(), name.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.update_logstore(db, &project, &name, settings, now)).await
    }

    /// Deletes a logstore at once and its packs soon after.
    pub async fn delete_logstore(&self, project: &str, name: &str) -> Result<(), StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.change(move |catalog, db| catalog.delete_logstore(db, &project, &name)).await
    }

    /// Gives a logstore an index configuration: a first one, or with `replace` another one.
    pub async fn put_index(
        &self,
        project: &str,
        logstore: &str,
        config: &[u8],
        replace: bool,
    ) -> Result<(), StoreError> {
        let index = Index::parse(config, self.clock.seconds()).map_err(Refused::Index)?;
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        self.change(move |catalog, db| catalog.put_index(db, &project, &logstore, index, replace)).await
    }

    pub async fn delete_index(&self, project: &str, logstore: &str) -> Result<(), StoreError> {
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        self.change(move |catalog, db| catalog.delete_index(db, &project, &logstore)).await
    }

    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Catalog, &Connection) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, done) = oneshot::channel();
        let (catalog, file) = (self.catalog.clone(), self.catalog_file.clone());
        let job = Job::Change(Box::new(move |connection| {
            let mut catalog = catalog.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            let outcome = change(&mut catalog, connection).map_err(|error| match error {
                ChangeError::Refused(refused) => StoreError::Refused(refused),
                ChangeError::Database(error) => StoreError::database(&file, error),
            });
            let _ = answer.send(outcome);
        }));
        self.send(job).await?;
        done.await.unwrap_or(Err(StoreError::Stopped))
    }
}
