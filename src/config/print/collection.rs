//! Who else says what is to be collected, as it is printed.

use super::{Page, duration_text, quoted, typed};
use crate::config::plan::{CollectionPlan, Plan, Target};

impl Page {
    pub(super) fn collection(&mut self, collection: &CollectionPlan, plan: &Plan) {
        self.heading(0, "collection");
        let destination = &collection.destination;
        if let Target::Cloud(cloud) = &destination.target {
            self.heading(1, "destination");
            self.place(cloud);
            if !destination.project.is_empty() {
                self.line(2, "project", quoted(&destination.project));
            }
            self.keys(&cloud.credentials);
            if collection.made_for_resources.is_none() {
                self.line(2, "auto_create", false);
            }
            self.sending(destination, plan);
        }
        self.line(1, "machine_groups", collection.machine_groups);
        if let Some(file) = &collection.user_defined_id_file {
            self.line(1, "user_defined_id_file", typed(&file.to_string_lossy()));
        }
        self.line(1, "interval", duration_text(collection.interval));
        if let Some(server) = &collection.config_server {
            self.line(1, "config_server", typed(server));
        }
        if let Some(directory) = &collection.directory {
            self.line(1, "directory", typed(&directory.to_string_lossy()));
        }
        if let Some(cluster) = &collection.kubernetes {
            self.heading(1, "kubernetes");
            self.line(2, "server", typed(&cluster.server));
            self.line(2, "token_file", typed(&cluster.token_file.to_string_lossy()));
            self.line(2, "ca_file", typed(&cluster.ca_file.to_string_lossy()));
            if let Some(namespace) = &cluster.namespace {
                self.line(2, "namespace", typed(namespace));
            }
        }
    }
}
